"""A Django project as most are: its stock middleware around the scripted agent."""

import os

from tests.conformance.scripted import ScriptedAgent
from tests.databases import channel_layers, database

RUNNERS = {
    "memory": "copilotkit_django.runners.InMemoryRunner",
    "database": "copilotkit_django.runners.database.DatabaseRunner",
}

SECRET_KEY = "bench"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True

INSTALLED_APPS = [
    "copilotkit_django",
    "corsheaders",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
]
MIDDLEWARE = [
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "tests.bench.urls"
DATABASES = {"default": database(os.environ.get("BENCH_DATABASE", "sqlite:///:memory:"))}
if "BENCH_REDIS" in os.environ:
    CHANNEL_LAYERS = channel_layers(os.environ["BENCH_REDIS"])
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CORS_ALLOW_ALL_ORIGINS = True

COPILOTKIT = {
    "AGENTS": {
        "default": ScriptedAgent("Scripted agent"),
        "researcher": ScriptedAgent("Second scripted agent"),
    },
    "RUNNER": RUNNERS[os.environ.get("BENCH_RUNNER", "memory")],
    "AUTHENTICATION": (
        "tests.bench.users.by_name" if "BENCH_AUTH" in os.environ else "anonymous-shared"
    ),
    # Whoever measures is one caller with as many runs as a whole site, and with longer ones.
    "CONCURRENT_RUNS_PER_OWNER": None,
    "MAX_EVENTS_PER_RUN": None,
    "MAX_BYTES_PER_RUN": None,
    "MAX_RUN_SECONDS": None,
    "LEASE_SECONDS": float(os.environ.get("BENCH_LEASE", "15")),
}
