"""A web service on the loopback device that answers as a test tells it, and remembers what it was asked."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext


@dataclass(frozen=True)
class Reply:
    """`drip` sends the body a byte at a time, so many seconds apart; `drop` closes without an answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    drip: float = 0
    drop: bool = False


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebServer:
    port: int
    asked: list[Asked]
    replies: dict[str, Iterator[Reply]]

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://localhost:{self.port}{path}"

    def answer(self, path: str, *replies: Reply) -> None:
        """These, one after the other; the last one from then on."""

        def endless() -> Iterator[Reply]:
            yield from replies
            while True:
                yield replies[-1]

        self.replies[path] = endless()


@contextmanager
def web_server(tls: SSLContext | None = None) -> Iterator[WebServer]:
    """The service; it is gone afterwards."""
    made = WebServer(0, [], {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(made: WebServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.asked.append(Asked(self.command, self.path, headers, body))
            _reply(self, next(made.replies[self.path.partition("?")[0]]))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._serve)
    return Handler


def _reply(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.close_connection = True
    if reply.drop:
        return
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(reply.body)))
    handler.end_headers()
    if handler.command == "HEAD":
        return
    write: Callable[[bytes], object] = handler.wfile.write
    try:
        for byte in reply.body if reply.drip else ():
            write(bytes([byte]))
            time.sleep(reply.drip)
        if not reply.drip:
            write(reply.body)
    except OSError:  # the client has had enough
        pass
