"""The project behind the handler of this package."""

import os

from copilotkit_django.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.servers.project.settings")

application = get_asgi_application()
