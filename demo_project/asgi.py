"""ASGI entry point, for `runserver`, daphne, uvicorn and hypercorn alike."""

import os

from copilotkit_django.asgi import get_asgi_application
from copilotkit_django.routing import websocket_urlpatterns

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_project.settings")

application = get_asgi_application(websocket_urlpatterns)
