"""Serve the project. Prints one JSON line `{"port": 40123}` when ready; ends with SIGTERM.

python -m tests.custom_runner.serve
"""

from __future__ import annotations

import json
import os

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.custom_runner.settings"

from copilotkit_django.asgi import get_asgi_application
from tests.serving import open_socket, serve

application = get_asgi_application()

if __name__ == "__main__":
    socket = open_socket()
    port = socket.getsockname()[1]
    serve(
        application,
        [socket],
        server="uvicorn",
        ready=lambda: print(json.dumps({"port": port}), flush=True),
    )
