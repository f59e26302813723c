"""A background process that says now and then that it is there."""

import os
import signal
import threading

INTERVAL_S = 30

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda _signal, _frame: stop.set())

while True:
    print(f"{os.environ.get('DYNO', 'local')} is waiting for work", flush=True)
    if stop.wait(INTERVAL_S):
        break
print("stopped", flush=True)
