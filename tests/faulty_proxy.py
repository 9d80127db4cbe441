"""An HTTP server that stands before an object store and answers some requests with errors of its own."""

import random
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and content."""

OF_THE_CONNECTION = {"connection", "transfer-encoding", "date", "server"}
"""Headers that are not passed on."""


class FaultyProxy(ThreadingHTTPServer):
    """Stands before an object store, on loopback, and answers some requests with errors of its own.

    Half of those requests are passed on before, as when an answer is lost on its way.

    Attributes:
        share: How many of all.
        only: A part of the path of those that are meant; all by default.
        faults: How many there were, by method.
    """

    daemon_threads = True

    def __init__(self, endpoint: str, *, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), ProxiedRequest)
        self.share, self.only = 0.0, ""
        self.faults: Counter[str] = Counter()
        self.url = "http://{}:{}".format(*self.server_address)
        self._chance = random.Random(seed)
        self._behind = urlsplit(endpoint)

    def handle_error(self, *arguments: Any) -> None:
        """Clients that are killed leave connections behind."""

    def answer(self, request: "ProxiedRequest", body: bytes) -> Answer:
        """What a request is answered with."""
        is_faulty = self.only in request.path and self._chance.random() < self.share
        if not is_faulty:
            return self._passed_on(request, body)
        if self._chance.random() < 0.5:
            self._passed_on(request, body)
        self.faults[request.command] += 1
        status, code = self._chance.choice([(500, "InternalError"), (503, "ServiceUnavailable")])
        content = f"<Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode()
        return status, [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))], content

    def _passed_on(self, request: "ProxiedRequest", body: bytes) -> Answer:
        connection = HTTPConnection(self._behind.netloc, timeout=60)
        try:
            connection.request(request.command, request.path, body=body, headers=dict(request.headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in OF_THE_CONNECTION]
        if request.command != "HEAD":
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
            headers.append(("Content-Length", str(len(content))))
        return answer.status, headers, content


class ProxiedRequest(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def answer(self) -> None:
        assert "chunked" not in self.headers.get("Transfer-Encoding", "")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, content = self.server.answer(self, body)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815 (http.server names them so)

    def log_message(self, *arguments: Any) -> None:
        """Not a line for each request."""
