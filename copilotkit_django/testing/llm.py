"""A model provider for tests: a real HTTP server, answering from a script."""

from __future__ import annotations

import json
import logging
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from copilotkit_django.testing.answers import (
    Answer,
    Drop,
    Fail,
    Refuse,
    Scripted,
    ToolCall,
    Wait,
    as_answer,
    by_last_message,
)
from copilotkit_django.testing.prompts import Prompt
from copilotkit_django.testing.providers import ROUTES, Provider
from copilotkit_django.testing.providers.base import Spoken

logger = logging.getLogger("copilotkit.testing")

#: How often a server that waits looks whether its client is still there, in seconds.
LOOK_SECONDS = 0.02

#: A script: what to answer to a prompt. Called on the thread of the request.
Script = Callable[[Prompt], Scripted]


class Gone(Exception):
    """The client went away."""


class Dropped(Exception):
    """The script, or the end of the server, closes the connection."""


class FakeLLM:
    """OpenAI, Anthropic and Gemini on a port of this machine, for the real clients to talk to.

    A context manager; the server has its own threads, so the test may be synchronous or not::

        with FakeLLM(lambda prompt: [Reasoning("Hm."), Text("Tuesday.")]) as llm:
            client = openai.OpenAI(base_url=llm.base_url(), api_key="any")

    Spoken are OpenAI chat completions and responses, Anthropic messages, and generateContent of
    Gemini, streamed and whole. ``script`` is called with each `Prompt` and returns what to answer:
    a string, one part (`Text`, `Reasoning`, `ToolCall`, `Wait`, `Fail`, `Drop`), a list of parts,
    an `Answer` with usage and delay, or `Refuse`. Without one the last message says what to do: see
    `by_last_message`. A script that raises is answered with status 500 and listed in ``errors``;
    leaving the context raises the first of them.

    ``delay`` is the pause before each piece, in seconds. ``prompts`` has what was asked, in order.
    """

    def __init__(self, script: Script | None = None, *, delay: float = 0.0) -> None:
        self.script: Script = script or by_last_message
        self.delay = delay
        self.prompts: list[Prompt] = []
        self.errors: list[Exception] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.stop()
        if error is None and self.errors:
            raise self.errors[0]

    def start(self) -> None:
        """Begin to listen, on a free port of 127.0.0.1."""
        self._closing.clear()
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="fake-llm"
        )
        self._thread.start()

    def stop(self) -> None:
        """Close every connection, and wait for the threads."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self._closing.set()
        server.shutdown()
        thread.join()
        server.cut()
        server.server_close()
        self._server = self._thread = None

    @property
    def url(self) -> str:
        """Where the server listens, without a path."""
        if self._server is None:
            raise RuntimeError("This FakeLLM has not been started.")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def base_url(self, provider: str = "openai") -> str:
        """What the client of ``openai``, ``anthropic`` or ``google`` takes as its base URL."""
        if provider not in ("openai", "openai-responses", "anthropic", "google"):
            raise ValueError(f"There is no provider {provider!r} here.")
        return f"{self.url}/v1" if provider.startswith("openai") else self.url

    def environment(self, provider: str | None = None) -> dict[str, str]:
        """The environment variables that send a client here; of all providers without a name."""
        url = self.url
        known = {
            "openai": {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "sk-fake"},
            "anthropic": {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "sk-ant-fake"},
            "google": {"GOOGLE_GEMINI_BASE_URL": url, "GOOGLE_API_KEY": "fake"},
        }
        if provider is None:
            return {key: value for each in known.values() for key, value in each.items()}
        return known[provider.removesuffix("-responses")]

    def wait(self, count: int = 1, timeout: float = 10.0) -> list[Prompt]:
        """The prompts, once there are ``count`` of them.

        Raises ``TimeoutError`` after ``timeout`` seconds. Blocks; from a coroutine, call it with
        ``asyncio.to_thread``.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.prompts) >= count, timeout):
                raise TimeoutError(f"{len(self.prompts)} of {count} prompts in {timeout} s.")
            return list(self.prompts)

    def _asked(self, prompt: Prompt) -> None:
        with self._changed:
            self.prompts.append(prompt)
            prompt.number = len(self.prompts)
            self._changed.notify_all()

    def _answer(self, prompt: Prompt) -> Answer | Refuse:
        try:
            answer = as_answer(self.script(prompt))
        except Exception as error:
            logger.exception("The script of a FakeLLM failed.")
            self.errors.append(error)
            return Refuse(500, "The script failed.")
        if isinstance(answer, Refuse):
            return answer
        parts = [
            replace(part, id=f"call_{prompt.number}_{index}")
            if isinstance(part, ToolCall) and not part.id
            else part
            for index, part in enumerate(answer.parts)
        ]
        return replace(answer, parts=parts)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, llm: FakeLLM) -> None:
        self.llm = llm
        self.closing = llm._closing
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def cut(self) -> None:
        """Wake up threads that wait for another request of their client."""
        with self._lock:
            for connection in self._open:
                # Closed on the other side already, or not yet: either way it ends.
                with _ignored(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("A connection to a FakeLLM ended badly.", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        with _ignored(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug(format, *args)

    def do_POST(self) -> None:
        try:
            raw = self._body()
        except (Gone, ConnectionError):
            # Nobody is left to be told that half a request is none.
            self.close_connection = True
            return
        path = urlsplit(self.path).path
        match, provider = _route(path)
        if match is None:
            self._json(404, provider.refusal(404, f"Nothing is at {path}."))
            return
        headers = {key.lower(): value for key, value in self.headers.items()}
        try:
            prompt = provider.read(match, json.loads(raw), headers)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            logger.exception("A FakeLLM was asked what it does not understand.")
            self.server.llm.errors.append(error)
            self._json(400, provider.refusal(400, f"Not understood: {error!r}"))
            return
        self.server.llm._asked(prompt)
        try:
            self._reply(provider(prompt))
        except (Gone, ConnectionError):
            prompt.disconnected = True
            self.close_connection = True
        except Dropped:
            self.close_connection = True
        finally:
            prompt._over.set()

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            if len(body) < length:
                raise Gone
            return body
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _reply(self, provider: Provider) -> None:
        prompt, llm = provider.prompt, self.server.llm
        answer = llm._answer(prompt)
        if isinstance(answer, Refuse):
            retry = {} if answer.retry else {"x-should-retry": "false"}
            self._json(answer.status, provider.refusal(answer.status, answer.message), retry)
            return
        delay = llm.delay if answer.delay is None else answer.delay
        (self._stream if prompt.stream else self._whole)(provider, answer, delay)

    def _whole(self, provider: Provider, answer: Answer, delay: float) -> None:
        spoken: list[Spoken] = []
        for part in answer.parts:
            match part:
                case Wait():
                    self._wait(part)
                case Drop():
                    raise Dropped
                case Fail():
                    self._json(503, provider.refusal(503, part.message), NO_RETRY)
                    return
                case _:
                    self._pause(delay * len(part.pieces()))
                    spoken.append(part)
        self._json(200, provider.whole(spoken, answer.usage))
        provider.prompt.sent += 1

    def _stream(self, provider: Provider, answer: Answer, delay: float) -> None:
        self._began = False
        for part in answer.parts:
            match part:
                case Wait():
                    # What was said so far is with the client, its headers above all.
                    self._send(provider, ())
                    self._wait(part)
                case Drop():
                    raise Dropped
                case Fail():
                    self._send(provider, provider.failure(part.message))
                    self._end()
                    return
                case _:
                    self._send(provider, provider.open(part))
                    for piece in part.pieces():
                        self._pause(delay)
                        self._send(provider, provider.piece(part, piece))
                    self._send(provider, provider.close(part))
        self._send(provider, provider.end(answer.usage))
        self._end()

    def _send(self, provider: Provider, frames: Iterable[bytes]) -> None:
        if not self._began:
            self._began = True
            self.send_response(200)
            self.send_header("content-type", provider.content_type)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self._send(provider, provider.begin())
        for frame in frames:
            if self._is_gone():
                raise Gone
            self.wfile.write(b"%x\r\n%b\r\n" % (len(frame), frame))
            provider.prompt.sent += 1

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def _json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _wait(self, wait: Wait) -> None:
        ends = time.monotonic() + wait.timeout
        while not wait.gate.wait(LOOK_SECONDS):
            self._look()
            if time.monotonic() > ends:
                raise Dropped

    def _pause(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))
            self._look()

    def _look(self) -> None:
        if self.server.closing.is_set():
            raise Dropped
        if self._is_gone():
            raise Gone

    def _is_gone(self) -> bool:
        # A client waiting for its answer says nothing: what can be read is the end.
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)


NO_RETRY = {"x-should-retry": "false"}


def _route(path: str) -> tuple[re.Match[str] | None, type[Provider]]:
    for pattern, provider in ROUTES:
        if match := pattern.search(path):
            return match, provider
    return None, ROUTES[0][1]


@contextmanager
def _ignored(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
