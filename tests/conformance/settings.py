"""Django as small as it gets: every profile is a Runtime of its own, chosen by port."""

SECRET_KEY = "conformance"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True

INSTALLED_APPS = ["copilotkit_django", "corsheaders"]
MIDDLEWARE = [
    "tests.conformance.ports.ProfileMiddleware",
    "corsheaders.middleware.CorsMiddleware",
]
ROOT_URLCONF = "tests.conformance.ports"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CORS_ALLOW_ALL_ORIGINS = True
CORS_ALLOW_HEADERS = ["*"]
CORS_ALLOW_METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]
