"""The project behind the handler that comes with Django."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.servers.project.settings")

application = get_asgi_application()
