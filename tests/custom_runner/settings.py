SECRET_KEY = "custom-runner"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
INSTALLED_APPS = [
    "copilotkit_django",
    "corsheaders",
    "django.contrib.auth",
    "django.contrib.contenttypes",
]
MIDDLEWARE = ["copilotkit_django.origins.CorsMiddleware"]
ROOT_URLCONF = "tests.custom_runner.urls"
ASGI_APPLICATION = "tests.custom_runner.serve.application"

COPILOTKIT = {
    "AGENTS": "tests.conformance.agents.USUAL",
    "RUNNER": "tests.custom_runner.runner.CacheRunner",
    "AUTHENTICATION": "anonymous-shared",
    "EXPOSE_ERROR_TEXT": True,
}

# The cases were recorded behind a runtime that lets pages of every origin read its answers.
CORS_ALLOW_ALL_ORIGINS = True
