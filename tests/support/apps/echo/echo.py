"""Answers `ok` to every request, and sends back what comes after a switch to another protocol."""

import os
import socketserver


class Echo(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while True:
            head = []
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                head.append(line.lower())
            if not head:
                return
            if any(line.startswith(b"upgrade:") for line in head):
                self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                while data := self.rfile.read1(4096):
                    self.wfile.write(data)
                return
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 128
    daemon_threads = True
    allow_reuse_address = True


Server(("0.0.0.0", int(os.environ["PORT"])), Echo).serve_forever()
