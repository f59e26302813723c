"""The worker: one job after the other, each moved aside while it is done, so that one that was cut off is done again."""

import time

import redis
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections, connection
from django.db.models import F

from orders import jobs
from orders.models import Done

PAUSE_S = 0.5


class Command(BaseCommand):
    help = "Does the jobs of the queue"

    def handle(self, *args, **options):
        while True:
            try:
                self.work(jobs.connect())
            except (redis.RedisError, DatabaseError) as failed:
                self.stderr.write(f"{type(failed).__name__}: {failed}")
                connection.close()
                time.sleep(PAUSE_S)

    def work(self, queue):
        # There is one worker: what was taken and not done is nobody else's.
        while queue.lmove(jobs.TAKEN, jobs.WAITING, "RIGHT", "RIGHT"):
            pass
        while True:
            job = queue.blmove(jobs.WAITING, jobs.TAKEN, jobs.WAIT_S, "RIGHT", "LEFT")
            if job is None:
                continue
            close_old_connections()
            _, is_new = Done.objects.get_or_create(number=int(job))
            if not is_new:
                Done.objects.filter(number=int(job)).update(times=F("times") + 1)
            queue.lrem(jobs.TAKEN, 1, job)
