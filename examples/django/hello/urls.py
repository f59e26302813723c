"""What answers where."""

import os

import django
from django.http import HttpResponse
from django.urls import path


def greet(_request):
    return HttpResponse(f"Hello from Django {django.__version__} on {os.environ.get('DYNO')}!\n", content_type="text/plain")


urlpatterns = [path("", greet)]
