"""An S3 server on loopback that is as strict as the real one about objects that are there already."""

import threading
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


class OneWriteAtATime:
    """Moto looks whether an object is there and writes it in two steps: of two requests both might find nothing."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application, self._lock = application, threading.Lock()

    def __call__(self, environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environment["REQUEST_METHOD"] != "PUT":
            return self._application(environment, start_response)
        with self._lock:
            return list(self._application(environment, start_response))


@contextmanager
def serve_objects():
    """Endpoint of a server that lasts as long as the block."""
    application = OneWriteAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
