"""Serve the scripted agent for a load test, behind Django's stock middleware.

    python -m tests.bench.serve [--server uvicorn|daphne] [--handler ours|django] [--port N]
                                [--workers K] [--runner memory|database]
                                [--database URL] [--redis URL] [--lease SECONDS] [--auth]

Prints one JSON line `{"port": N, "pid": P}` when ready and stops on SIGTERM. The handler is
`copilotkit_django.asgi` or the one that comes with Django. A database is migrated first; several
servers may share one. Several workers are processes that
share the port; a memory runner is not shared among them.

With `--auth` only `Authorization: Bearer alice`, `bob` or `root` (a superuser) is let in, as the
user of that name; everybody else gets 401. Without a database the users are kept in a temporary
file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import django

from tests.databases import add_arguments, migrate
from tests.serving import HOST, SERVERS, open_socket, serve

HANDLERS = ("ours", "django")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--server", choices=SERVERS, default="uvicorn")
    parser.add_argument("--handler", choices=HANDLERS, default="ours")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--auth", action="store_true", help="let in alice, bob and root only")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shared", action="store_true", help="let other processes join the port")
    return parser.parse_args(arguments)


def prepare(options: argparse.Namespace) -> None:
    """Set up Django, the tables and the users."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.settings"
    os.environ["BENCH_RUNNER"] = options.runner
    os.environ["BENCH_LEASE"] = str(options.lease)
    if options.database:
        os.environ["BENCH_DATABASE"] = options.database
    if options.redis:
        os.environ["BENCH_REDIS"] = options.redis
    if options.auth:
        os.environ["BENCH_AUTH"] = "1"
    if options.runner == "database" or options.auth:
        django.setup()
        migrate()
    if options.auth:
        from tests.bench.users import create_users

        create_users()


def application(options: argparse.Namespace) -> Any:
    prepare(options)
    if options.handler == "ours":
        from copilotkit_django.asgi import get_asgi_application
        from copilotkit_django.routing import websocket_urlpatterns

        return get_asgi_application(websocket_urlpatterns)
    from django.core.asgi import get_asgi_application as get_djangos

    return get_djangos()


def announce(port: int) -> Callable[[], None]:
    return lambda: print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)


def serve_alone(options: argparse.Namespace) -> None:
    listener = open_socket(options.port, shared=options.shared)
    ready = announce(listener.getsockname()[1])
    served = application(options)
    serve(served, [listener], server=options.server, ready=ready)


def serve_together(options: argparse.Namespace) -> None:
    """Start the workers, say so once the last is ready, and end with them."""
    # Two that make the same tables get in each other's way.
    prepare(options)
    # Bound but not listening: keeps the port until the workers have it, and gets no connections.
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind((HOST, options.port))
    port = reserved.getsockname()[1]
    command = [sys.executable, "-m", "tests.bench.serve", "--port", str(port), "--shared"]
    for name in ("runner", "server", "handler", "database", "redis", "lease"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    if options.auth:
        command.append("--auth")
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(options.workers)]

    def stop(*_: object) -> None:
        for worker in workers:
            worker.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    reserved.close()
    announce(port)()
    for worker in workers:
        worker.wait()


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.runner == "database" and not options.database:
        raise SystemExit("--runner database needs --database")
    with tempfile.TemporaryDirectory() as folder:
        if options.auth and not options.database:
            options.database = f"sqlite:///{folder}/users.sqlite3"
        if options.workers > 1:
            serve_together(options)
        else:
            serve_alone(options)


if __name__ == "__main__":
    main()
