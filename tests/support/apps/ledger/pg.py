"""As much of PostgreSQL's protocol 3 as the app needs, with nothing but Python's own library."""

import base64
import hashlib
import hmac
import os
import socket
import struct
from urllib.parse import urlsplit

TIMEOUT_S = 5


class Refused(Exception):
    """What the server said."""


class Connection:
    def __init__(self, url):
        at = urlsplit(url)
        self.password = at.password
        self.socket = socket.create_connection((at.hostname, at.port), TIMEOUT_S)
        self.reader = self.socket.makefile("rb")
        words = f"user\0{at.username}\0database\0{at.path[1:]}\0\0".encode()
        self.socket.sendall(struct.pack("!ii", len(words) + 8, 196608) + words)
        self.read_until(b"Z")

    def query(self, sql):
        """The rows, each a list of texts."""
        self.send(b"Q", sql.encode() + b"\0")
        return self.read_until(b"Z")

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def read(self, count):
        data = self.reader.read(count)
        if len(data) < count:
            raise ConnectionError("the server hung up")
        return data

    def read_until(self, last):
        rows, refusal = [], None
        while True:
            kind = self.read(1)
            body = self.read(struct.unpack("!i", self.read(4))[0] - 4)
            if kind == b"R":
                self.authenticate(struct.unpack("!i", body[:4])[0], body[4:])
            elif kind == b"E":
                refusal = Refused(body.replace(b"\0", b" ").decode())
                if b"FATAL" in body:
                    raise refusal
            elif kind == b"D":
                rows.append(row(body))
            elif kind == last:
                if refusal:
                    raise refusal
                return rows

    def authenticate(self, step, body):
        """SCRAM-SHA-256 (RFC 5802, RFC 7677)."""
        if step == 10:
            self.nonce = base64.b64encode(os.urandom(18)).decode()
            first = f"n,,n=,r={self.nonce}".encode()
            self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
        elif step == 11:
            told = dict(part.split("=", 1) for part in body.decode().split(","))
            salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(told["s"]), int(told["i"]))
            key = hmac.digest(salted, b"Client Key", "sha256")
            bare = f"c=biws,r={told['r']}"
            text = f"n=,r={self.nonce},{body.decode()},{bare}".encode()
            signature = hmac.digest(hashlib.sha256(key).digest(), text, "sha256")
            proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
            self.send(b"p", f"{bare},p={proof}".encode())


def row(body):
    values, at = [], 2
    for _ in range(struct.unpack("!h", body[:2])[0]):
        length = struct.unpack("!i", body[at : at + 4])[0]
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode())
        at += max(length, 0)
    return values
