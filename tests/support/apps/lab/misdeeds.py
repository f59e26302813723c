"""What programs do wrong, one function each; the first argument says which."""

import ctypes
import os
import socket
import sys
import threading
import time

MIB = 1024 * 1024


def bind_twice():
    sockets = [socket.socket(), socket.socket()]
    for one in sockets:
        one.bind(("0.0.0.0", int(os.environ["PORT"])))
        one.listen()


def fill_disk():
    with open("/tmp/all", "wb") as file:
        while True:
            file.write(bytes(MIB))


def start_threads():
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def open_files():
    kept = []
    while True:
        kept.append(os.open("/dev/null", os.O_RDONLY))


def eat_memory():
    kept = []
    while True:
        kept.append(os.urandom(16) * (MIB // 16))


def look_up():
    socket.create_connection(("database.invalid", 5432), timeout=60)


def connect():
    socket.create_connection(("127.0.0.1", 5432), timeout=60)


def segfault():
    ctypes.string_at(0)


def abort():
    os.abort()


globals()[sys.argv[1]]()
