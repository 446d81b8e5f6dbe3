"""Serve what the scenarios need, one port each, in one process.

    python -m tests.clients.serve [--server daphne|uvicorn] [--database FILE]

With a database threads are kept there, else in memory. Prints one JSON line `{"urls": {"usual":
"http://...", ...}}` when ready and serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os

from tests.serving import HOST, SERVERS, open_socket, serve


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", choices=SERVERS, default="daphne")
    parser.add_argument("--database", metavar="FILE", help="an SQLite database, made if needed")
    options = parser.parse_args(arguments)

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.clients.settings"
    if options.database:
        os.environ["CLIENTS_DATABASE"] = options.database
    import django

    django.setup()
    # What follows needs the app registry.
    from django.core.management import call_command

    from copilotkit_django.asgi import get_asgi_application
    from copilotkit_django.testing import FakeLLM
    from tests.conformance.ports import Ports

    from .model import answer
    from .sites import BASE, sites

    if options.database:
        call_command("migrate", verbosity=0)
    runner = "database.DatabaseRunner" if options.database else "InMemoryRunner"
    with FakeLLM(answer) as llm:
        served = sites(runner, llm)
        sockets = {name: open_socket() for name in served}
        ports = {name: each.getsockname()[1] for name, each in sockets.items()}
        application = Ports(get_asgi_application(), {ports[name]: served[name] for name in served})

        def announce() -> None:
            urls = {name: f"http://{HOST}:{port}/{BASE}" for name, port in ports.items()}
            print(json.dumps({"urls": urls}), flush=True)

        serve(application, list(sockets.values()), server=options.server, ready=announce)


if __name__ == "__main__":
    main()
