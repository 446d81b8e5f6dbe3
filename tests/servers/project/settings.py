"""Settings of the served project. The environment says what differs from test to test."""

import os
from urllib.parse import urlsplit

SECRET_KEY = "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz"
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.servers.project.urls"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "corsheaders",
    "copilotkit_django",
]

# GZipMiddleware belongs to the hard conditions: it would cut a stream into gzip members.
MIDDLEWARE = [
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


def database(address: str) -> dict[str, object]:
    url = urlsplit(address)
    if url.scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": url.path}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path.lstrip("/"),
        "HOST": url.hostname or "",
        "PORT": url.port or "",
        "USER": url.username or "",
        "PASSWORD": url.password or "",
    }


DATABASES = {"default": database(os.environ.get("SERVED_DATABASE", "sqlite:/dev/null"))}
# A server that was given no database has no table of sessions either.
if "SERVED_DATABASE" not in os.environ:
    SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        # One line for every 404 is noise here.
        "django.request": {"level": "ERROR"},
        # Says which port it took.
        "daphne.server": {"level": "INFO"},
    },
}

COPILOTKIT = {
    "AGENTS": "tests.servers.project.agents.AGENTS",
    "AUTHENTICATION": "anonymous-shared",
    # One user opens many streams at once.
    "CONCURRENT_RUNS_PER_OWNER": None,
    # Most of these servers have no tables; and what a request leaves open in the database shows
    # only beside a runner that opens nothing there.
    "RUNNER": os.environ.get("SERVED_RUNNER", "copilotkit_django.runners.InMemoryRunner"),
}
if "SERVED_MISSPELT" in os.environ:
    COPILOTKIT["KEEPALIVE_SECOND"] = 5
