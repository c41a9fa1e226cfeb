"""Small real servers for tests: one that takes HTTP requests, and one that takes mail."""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Web:
    """What came by HTTP, and what is answered.

    Attributes:
        port: on 127.0.0.1.
        status: of the answers.
        answer: their body.
        location: header of the answers.
        requests: method, path, headers and body, in order.
    """

    port: int = 0
    status: int = 200
    answer: bytes = b"ok"
    location: str = ""
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def web() -> Iterator[Web]:
    """Listens until the block is left."""
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append((self.command, self.path, headers, body))
            self.send_response(state.status)
            if state.location:
                self.send_header("Location", state.location)
            self.send_header("Content-Length", str(len(state.answer)))
            self.end_headers()
            self.wfile.write(state.answer)

        do_GET = do_POST  # noqa: N815  as http.server names it

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    yield from _serving(server, state)


@dataclass
class Mail:
    """What came by SMTP.

    Attributes:
        port: on 127.0.0.1.
        mails: recipients and content of each.
        refuses: whether recipients are refused.
    """

    port: int = 0
    mails: list[tuple[list[str], bytes]] = field(default_factory=list)
    refuses: bool = False


@contextmanager
def mail() -> Iterator[Mail]:
    """Listens until the block is left; RFC 5321 as far as `smtplib` needs it."""
    state = Mail()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            recipients: list[str] = []
            self._say("220 here")
            while line := self.rfile.readline().decode().strip():
                verb = line[:4].upper()
                if verb == "RCPT":
                    recipients.append(line.partition(":")[2].strip("<>"))
                if verb == "DATA":
                    self._say("354 go on")
                    state.mails.append((recipients, self._content()))
                if verb == "QUIT":
                    self._say("221 bye")
                    return
                refused = verb == "RCPT" and state.refuses
                self._say("550 nobody hush-word" if refused else "250 ok")

        def _content(self) -> bytes:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            return b"".join(lines)

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    yield from _serving(server, state)


def _serving(server: socketserver.BaseServer, state: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
