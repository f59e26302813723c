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


def told(path, name):
    """The first number after a name in one of the kernel's files."""
    with open(path) as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))


def watch_figures():
    """No misdeed: works and keeps memory until the kernel's files tell of both."""
    kept = [os.urandom(16) * (MIB // 16) for _ in range(64)]
    while True:
        free = told("/proc/meminfo", "MemAvailable:")
        busy = told("/proc/stat", "cpu ")
        with open("/proc/loadavg") as file:
            load = float(file.read().split()[0])
        if free < (512 - len(kept)) * 1024 and busy > 0 and load > 0:
            return print("memory, time and load are told")


globals()[sys.argv[1]]()
