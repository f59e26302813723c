"""Listens at once, and is ready when its config says so: /health answers as $READY tells, all else with what it is."""

import http.server
import os


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = os.environ.get("READY", "no")
        is_health = self.path == "/health?deep=1"
        if is_health:
            print("asked by", self.headers["User-Agent"], "for", self.headers["Host"], flush=True)
        body = ready.encode()
        self.send_response(503 if is_health and ready == "no" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *words):
        pass


http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Ready).serve_forever()
