"""Serve every profile of the recorded cases, one port each, in one process over one store.

    python -m tests.conformance.serve [--server daphne|uvicorn]
        [--runner memory|database [--database URL] [--redis URL] [--lease SECONDS]]

Several such processes may share one database, which is migrated first. Prints one JSON line
`{"ports": {"multi": 40123, ...}}` when ready and serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from copilotkit_django.runners import AgentRunner, InMemoryRunner
from tests.databases import add_arguments, migrate
from tests.serving import SERVERS, open_socket, serve

from .case import SLOWNESS


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", choices=SERVERS, default="daphne")
    add_arguments(parser)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        run(options, default_database=f"sqlite://{Path(folder) / 'conformance.sqlite3'}")


def run(options: argparse.Namespace, *, default_database: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.conformance.settings"
    if options.runner == "database":
        os.environ["CONFORMANCE_DATABASE"] = options.database or default_database
    if options.redis:
        os.environ["CONFORMANCE_REDIS"] = options.redis
    import django

    django.setup()
    if options.runner == "database":
        migrate()
    # What follows needs the app registry.
    from copilotkit_django.asgi import get_asgi_application

    from . import scripted
    from .ports import Ports
    from .profiles import sites

    scripted.slowness = SLOWNESS
    served = sites(runner(options))
    sockets = {name: open_socket() for name in served}
    ports = {name: each.getsockname()[1] for name, each in sockets.items()}
    application = Ports(get_asgi_application(), {ports[name]: served[name] for name in served})

    def announce() -> None:
        print(json.dumps({"ports": ports}), flush=True)

    serve(application, list(sockets.values()), server=options.server, ready=announce)


def runner(options: argparse.Namespace) -> AgentRunner:
    """The one runner of all profiles."""
    if options.runner == "memory":
        return InMemoryRunner()
    from copilotkit_django.runners.database import DatabaseRunner

    return DatabaseRunner(lease_seconds=options.lease)


if __name__ == "__main__":
    main()
