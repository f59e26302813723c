"""The queue: a job is in one of two lists until it is done, whatever ends in between."""

import redis
from django.conf import settings

WAITING = "jobs"
TAKEN = "jobs:taken"
WAIT_S = 5


def connect():
    return redis.Redis.from_url(settings.QUEUE_URL, socket_timeout=WAIT_S + 5, socket_connect_timeout=5)
