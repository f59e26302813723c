"""Settings; where the database and the queue are comes from config vars, which a build has not."""

import os
from pathlib import Path
from urllib.parse import urlsplit

SECRET_KEY = os.environ.get("SECRET_KEY", "for the build and for trying things out")
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.staticfiles", "orders"]
# It tells how long answers are, which are cut into pieces otherwise.
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
STATIC_URL = "/static/"
STATIC_ROOT = Path(__file__).resolve().parent.parent / "staticfiles"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
QUEUE_URL = os.environ.get("REDIS_URL")

if "DATABASE_URL" in os.environ:
    at = urlsplit(os.environ["DATABASE_URL"])
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": at.hostname,
            "PORT": at.port,
            "USER": at.username,
            "PASSWORD": at.password,
            "NAME": at.path[1:],
            "OPTIONS": {"connect_timeout": 5},
        }
    }
