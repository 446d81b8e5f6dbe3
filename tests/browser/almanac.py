"""A remote agent that breaks off in the middle of its answers for as long as it is told to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Almanac:
    def __init__(self) -> None:
        self.is_failing = False
        almanac = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                ids = {"threadId": asked["threadId"], "runId": asked["runId"]}
                message = {"messageId": f"answer-{asked['runId']}"}
                events = [
                    {"type": "RUN_STARTED", **ids},
                    {"type": "TEXT_MESSAGE_START", **message, "role": "assistant"},
                    {"type": "TEXT_MESSAGE_CONTENT", **message, "delta": "Let me"},
                    {"type": "TEXT_MESSAGE_CONTENT", **message, "delta": " see."},
                    {"type": "TEXT_MESSAGE_END", **message},
                    {"type": "RUN_FINISHED", **ids},
                ]
                frames = b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in events)
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                # Ending before this many bytes is how a connection breaks.
                self.send_header("Content-Length", str(len(frames)))
                self.end_headers()
                self.wfile.write(frames[: frames.index(b" see.")] if almanac.is_failing else frames)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
