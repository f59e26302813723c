"""The app of the stories: it does on request what apps do wrong, with nothing but Python's own library."""

import base64
import hashlib
import http.server
import os
import sys
import time

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MIB = 1024 * 1024


def eat(mib):
    """Takes memory that is really used."""
    kept = []
    for _ in range(mib):
        kept.append(os.urandom(16) * (MIB // 16))
    return kept


def in_child(work):
    """Runs `work` in a child and tells how that ended."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_until_refused():
    """Children that only wait; how many there are when no more is allowed."""
    count = 0
    while True:
        try:
            child = os.fork()
        except OSError as refused:
            return f"{count} children, then errno {refused.errno}\n"
        if child == 0:
            while True:
                time.sleep(1000)
        count += 1


def spin(count):
    """Processes that never pause."""
    for _ in range(count):
        if os.fork() == 0:
            while True:
                pass


class Lab(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        what, _, how = self.path.lstrip("/").partition("/")
        if what == "":
            self.say(f"{os.environ.get('GREETING', 'hello')} from {os.environ['DYNO']}\n")
        elif what == "eat":
            eat(int(how))
            self.say("eaten\n")
        elif what == "eat-in-child":
            self.say(f"the child ended with {in_child(lambda: eat(int(how)))}\n")
        elif what == "fork":
            self.say(fork_until_refused())
        elif what == "spin":
            spin(int(how))
            self.say("spinning\n")
        elif what == "exit":
            os._exit(int(how))
        elif what == "headers":
            self.say(str(self.headers))
        elif what == "socket":
            self.echo_socket()
        else:
            self.send_error(404)

    def say(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def echo_socket(self):
        """RFC 6455, as far as one short text frame that comes back in capitals needs it."""
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + GUID).encode()).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        length = self.rfile.read(2)[1] & 0x7F
        mask = self.rfile.read(4)
        masked = self.rfile.read(length)
        text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked)).upper()
        self.wfile.write(bytes([0x81, len(text)]) + text)
        self.close_connection = True

    def log_message(self, form, *words):
        print(form % words, flush=True)


if os.environ.get("CRASH"):
    sys.exit("told to crash")
if os.environ.get("QUIT"):
    sys.exit(0)
if os.environ.get("DEAF"):
    print("never listens", flush=True)
    time.sleep(1000)
print("lab is ready", flush=True)
port = int(os.environ.get("LISTEN_ON", os.environ["PORT"]))
http.server.ThreadingHTTPServer(("0.0.0.0", port), Lab).serve_forever()
