"""Keeps numbers in its database and in its queue: /add/N and /push/N acknowledge what is on disk, /all and /jobs tell what there is,
/reach/HOST/PORT tries a way."""

import http.server
import os
import socket

import pg
import queue_of_jobs

TABLE = "CREATE TABLE IF NOT EXISTS numbers (n bigint PRIMARY KEY)"


def numbers():
    try:
        return [n for (n,) in pg.Connection(os.environ["DATABASE_URL"]).query("SELECT n FROM numbers ORDER BY n")]
    except pg.Refused as refused:
        if "does not exist" in str(refused):
            return []
        raise


def answer(path):
    word, *rest = path.strip("/").split("/")
    if word == "add":
        database = pg.Connection(os.environ["DATABASE_URL"])
        database.query(TABLE)
        database.query(f"INSERT INTO numbers VALUES ({int(rest[0])})")
        return "kept\n"
    if word == "all":
        return " ".join(numbers()) + "\n"
    if word == "push":
        queue_of_jobs.Connection(os.environ["REDIS_URL"]).call("RPUSH", "jobs", str(int(rest[0])))
        return "kept\n"
    if word == "jobs":
        return " ".join(queue_of_jobs.Connection(os.environ["REDIS_URL"]).call("LRANGE", "jobs", "0", "-1")) + "\n"
    if word == "url":
        return os.environ.get("DATABASE_URL", "none") + "\n"
    if word == "host":
        return socket.gethostbyname(rest[0]) + "\n"
    if word == "here":
        # Nothing is sent: the kernel only tells which address it would be sent from.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_way:
            any_way.connect(("192.0.2.1", 9))
            return any_way.getsockname()[0] + "\n"
    if word == "port":
        return os.environ["PORT"] + "\n"
    if word == "reach":
        socket.create_connection((rest[0], int(rest[1])), 2).close()
        return "reached\n"
    return "up\n"


class Ledger(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, text = 200, answer(self.path)
        except Exception as failed:
            status, text = 500, f"{type(failed).__name__}: {failed}\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Ledger).serve_forever()
