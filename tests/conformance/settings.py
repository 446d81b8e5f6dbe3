"""Django as small as it gets: every profile is a Runtime of its own, chosen by port."""

SECRET_KEY = "conformance"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True

INSTALLED_APPS = ["copilotkit_django", "corsheaders"]
MIDDLEWARE = [
    "tests.conformance.ports.SiteMiddleware",
    "tests.conformance.cors.FixedOriginCorsMiddleware",
]
ROOT_URLCONF = "tests.conformance.ports"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
