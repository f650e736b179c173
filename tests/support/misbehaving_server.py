"""An HTTP server on loopback that serves files and misbehaves on demand.

Each request for a path takes the next `Behaviour` planned for it; when none is left the server is honest. It notes
every request, and which bytes it sent.
"""

from __future__ import annotations

import re
import socket
import struct
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

PIECE = 1 << 14  # bytes written at a time


@dataclass(frozen=True)
class Behaviour:
    """What the server does with one request. The defaults are an honest answer."""

    status: int | None = None  # answer this, with an empty body
    headers: Mapping[str, str] = field(default_factory=dict)  # added, or put in place of the usual ones
    content: bytes | None = None  # serve this in place of the file
    etag: str | None = '"first"'
    flip: int | None = None  # offset of a byte to change on the way
    ignore_range: bool = False
    length_header: bool = True
    cut_at: int | None = None  # end the connection before this byte of the file
    reset: bool = False  # ... with RST in place of an orderly end
    stall_at: int | None = None  # send nothing more from this byte on, but keep the connection
    pause: float = 0.0  # seconds between pieces
    piece: int = PIECE  # bytes of a piece
    endless: bool = False  # send the content again and again, with any status
    drip_headers: bool = False  # send a header without end, byte by byte


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    start: int = 0


class MisbehavingServer:
    """Use as a context manager; `address(path)` is what to fetch."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = {f"/{name.lstrip('/')}": content for name, content in files.items()}
        self.plans: dict[str, list[Behaviour]] = defaultdict(list)
        self.always: dict[str, Behaviour] = {}
        self.requests: list[Request] = []
        self.sent: list[tuple[str, int, int]] = []  # path, first byte, one after the last byte
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> MisbehavingServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def address(self, path: str) -> str:
        return f"{self.host}/{path.lstrip('/')}"

    def plan(self, path: str, *behaviours: Behaviour) -> None:
        self.plans[f"/{path.lstrip('/')}"] += behaviours

    def bytes_sent(self, path: str) -> int:
        return sum(end - start for sent, start, end in self.sent if sent == f"/{path.lstrip('/')}")

    def next_behaviour(self, path: str) -> Behaviour:
        with self.lock:
            planned = self.plans[path]
            return planned.pop(0) if planned else self.always.get(path, Behaviour())


def _handler_for(server: MisbehavingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.close_connection = True
            path = re.sub(r"^http://[^/]+", "", self.path)  # a proxy is asked for whole addresses
            behaviour = server.next_behaviour(path)
            content = behaviour.content if behaviour.content is not None else server.files.get(path)
            start = self.wanted_start(behaviour)
            with server.lock:
                server.requests.append(Request(self.path, dict(self.headers.items()), start))
            if behaviour.drip_headers:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
                with suppress(OSError):  # the client left
                    while not server.closing.wait(0.02):
                        self.wfile.write(b"x")
                return
            if content is None or (behaviour.status is not None and not behaviour.endless):
                self.answer(behaviour.status or 404, {"Content-Length": "0", **behaviour.headers})
                return
            if start > len(content) or (start and start == len(content)):
                self.answer(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
                return
            headers = {"Content-Length": str(len(content) - start)} if behaviour.length_header else {}
            if behaviour.etag:
                headers["ETag"] = behaviour.etag
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(behaviour.status or (206 if start else 200), {**headers, **behaviour.headers})
            self.send_body(path, content, start, behaviour)

        def wanted_start(self, behaviour: Behaviour) -> int:
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            condition = self.headers.get("If-Range")
            if found is None or behaviour.ignore_range or condition not in (None, behaviour.etag):
                return 0
            return int(found[1])

        def answer(self, status: int, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()

        def send_body(self, path: str, content: bytes, start: int, behaviour: Behaviour) -> None:
            if behaviour.flip is not None:
                changed = bytearray(content)
                changed[behaviour.flip] ^= 1
                content = bytes(changed)
            stops = [stop for stop in (behaviour.cut_at, behaviour.stall_at) if stop is not None]
            end = sys.maxsize if behaviour.endless else max(start, min([len(content), *stops]))
            position = start
            try:
                while position < end and not server.closing.wait(behaviour.pause):
                    first = position % len(content)
                    piece = content[first : first + min(end - position, behaviour.piece)]
                    self.wfile.write(piece)
                    position += len(piece)
                if behaviour.stall_at is not None:
                    server.closing.wait(timeout=15)
            except OSError:
                pass  # the client left
            with server.lock:
                server.sent.append((path, start, position))
            if behaviour.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    return Handler
