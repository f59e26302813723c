"""Each request acknowledges what is committed: 200 for what is kept, anything else for what may be or may not."""

from django.db import IntegrityError
from django.http import HttpResponse

from orders import jobs
from orders.models import Done, Order


def order(request, number):
    try:
        Order.objects.create(number=number)
    except IntegrityError:
        pass  # It was kept before, and that was not heard of.
    return HttpResponse("kept\n")


def orders(request):
    return numbers(Order)


def job(request, number):
    jobs.connect().lpush(jobs.WAITING, number)
    return HttpResponse("kept\n")


def done(request):
    return numbers(Done)


def numbers(model):
    return HttpResponse(" ".join(str(n) for n in model.objects.values_list("number", flat=True)) + "\n")
