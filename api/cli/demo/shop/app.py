"""The demo's service: a shop that tells prices over HTTP.

`/version` and `/health` are for deployments, `/price?orders=N` is what visitors ask. It serves on a socket that the
machine has opened and hands over (``--fd``), so that a switch to another version refuses nobody.
"""

import argparse
import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pricing import price

VERSION = (Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip()


def main() -> None:
    """Serve until SIGTERM, or until the machine is gone."""
    options = argparse.ArgumentParser()
    options.add_argument("--fd", type=int, required=True)
    server = _Server(socket.socket(fileno=options.parse_args().fd))

    def end(_number: int, _frame: object) -> None:
        threading.Thread(target=server.shutdown).start()  # it waits for the loop that this interrupts

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=_leave_with_the_machine, daemon=True).start()
    sys.stdout.write(f"{VERSION} is ready\n")
    sys.stdout.flush()
    with server:
        server.serve_forever(poll_interval=0.05)


def answer(path: str) -> tuple[int, dict[str, object]]:
    """Status and JSON."""
    url = urlsplit(path)
    match url.path:
        case "/version":
            return 200, {"version": VERSION}
        case "/health":
            return 200, {"status": "ok", "version": VERSION}
        case "/price":
            orders = int(parse_qs(url.query).get("orders", ["0"])[0])
            return 200, {"price": price(orders)}
        case _:
            return 404, {"error": "there is no such page"}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            status, body = answer(self.path)
        except Exception as error:
            status, body = 500, {"error": f"{type(error).__name__}: {error}"}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Version", VERSION)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    """On a socket that is listening already and is shared with the version before."""

    daemon_threads = False

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        listening.setblocking(False)  # the other version may be faster: accept must not wait then

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        connection.settimeout(5)
        return connection, address


def _leave_with_the_machine() -> None:
    while os.read(0, 1024):  # not sys.stdin, whose lock would be missed at the interpreter's end
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
