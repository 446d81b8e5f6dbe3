"""Serve every profile of the recorded cases, one port each, in one process over one store.

    python -m tests.conformance.serve [--server daphne|uvicorn]

Prints one JSON line `{"ports": {"multi": 40123, ...}}` when ready and serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os

from tests.serving import SERVERS, open_socket, serve


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", choices=SERVERS, default="daphne")
    options = parser.parse_args(arguments)

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.conformance.settings"
    import django

    django.setup()
    # What follows needs the app registry.
    from copilotkit_django.asgi import get_asgi_application

    from .ports import Ports
    from .profiles import sites

    served = sites()
    sockets = {name: open_socket() for name in served}
    ports = {name: each.getsockname()[1] for name, each in sockets.items()}
    application = Ports(get_asgi_application(), {ports[name]: served[name] for name in served})

    def announce() -> None:
        print(json.dumps({"ports": ports}), flush=True)

    serve(application, list(sockets.values()), server=options.server, ready=announce)


if __name__ == "__main__":
    main()
