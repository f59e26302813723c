from django.db import models


class Order(models.Model):
    """What a request has written."""

    number = models.BigIntegerField(unique=True)


class Done(models.Model):
    """A job that the worker has done; at least once."""

    number = models.BigIntegerField(unique=True)
    times = models.IntegerField(default=1)
