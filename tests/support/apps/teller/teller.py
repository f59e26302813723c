"""The app of the chaos: every process numbers its lines, and says which one was its last."""

import http.server
import os
import signal
import socket
import sys
import threading

# Lines at once, and the pause after them in seconds. A flood is more at once than the log keeps in memory.
PACE = {"web": (1, 0.05), "worker": (5, 0.05), "flood": (2500, 2.0), "job": (20, 0.02), "crasher": (5, 0.2)}
# How often a process that ends by itself says its lines.
ROUNDS = {"job": 10, "crasher": 2}


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["DYNO"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *words):
        pass


def say(numbers, end=""):
    """The machine's name is the dyno's identity."""
    name = socket.gethostname()
    text = "".join(f"{name} {number}{end}\n" for number in numbers).encode()
    while text:
        text = text[os.write(1, text):]


what = sys.argv[1]
# Taken when it is asked for. A handler would run in the middle of anything: one that sets what this thread is just waiting
# for finds that locked, and waits for itself.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
if what == "web":
    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
lines, pause = PACE[what]
rounds = ROUNDS.get(what, 1 << 62)
number = 1
told = None
while rounds and not told:
    say(range(number, number + lines))
    number += lines
    rounds -= 1
    told = signal.sigtimedwait([signal.SIGTERM], pause)
say([number], " last")
sys.stdout.flush()
os._exit(1 if what == "crasher" else 0)
