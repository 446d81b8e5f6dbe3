"""Django as small as it gets: every profile is a Runtime of its own, chosen by port."""

import os

from tests.databases import channel_layers, database

SECRET_KEY = "conformance"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True

INSTALLED_APPS = [
    "copilotkit_django",
    "corsheaders",
    "django.contrib.auth",
    "django.contrib.contenttypes",
]
MIDDLEWARE = [
    "tests.conformance.ports.SiteMiddleware",
    "tests.conformance.cors.FixedOriginCorsMiddleware",
]
ROOT_URLCONF = "tests.conformance.ports"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if "CONFORMANCE_DATABASE" in os.environ:
    DATABASES = {"default": database(os.environ["CONFORMANCE_DATABASE"])}
if "CONFORMANCE_REDIS" in os.environ:
    CHANNEL_LAYERS = channel_layers(os.environ["CONFORMANCE_REDIS"])
