"""A git server over HTTP that asks for a password, as forges do: git's own ``http-backend`` behind a few lines."""

import base64
import os
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

USER, PASSWORD = "ann", "s3cret-0f-the-agent-77"
_WANTED: Final = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@dataclass
class PrivateGit:
    """``url`` is where the repositories of a folder are. ``asked``: (method, path, as whom) of each request."""

    url: str
    asked: list[tuple[str, str, str | None]] = field(default_factory=list[tuple[str, str, str | None]])
    version: bool = True
    """False: it answers as servers that know protocol 0 only."""
    answering: threading.Event = field(default_factory=threading.Event)
    """Cleared, it answers nobody until it is set."""
    waiting: int = 0


@contextmanager
def private_git(folder: Path) -> Generator[PrivateGit]:
    """Serve what is below the folder, also for pushing, to who knows the password."""
    made = PrivateGit("")
    made.answering.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:
            return

        def _answer(self) -> None:
            said = self.headers.get("Authorization")
            made.asked.append((self.command, self.path, said))
            body = self._body()
            made.waiting += 1
            made.answering.wait(60)
            made.waiting -= 1
            if said != _WANTED:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            env = {
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "uploadpack.allowFilter", "GIT_CONFIG_VALUE_0": "true",
                "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*",
                "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_USER": USER,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", "") if made.version else "",
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }  # fmt: skip
            done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
            head, _, rest = done.stdout.partition(b"\r\n\r\n")
            headers = [line.split(": ", 1) for line in head.decode().splitlines()]
            status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
            self.send_response(status)
            for name, value in headers:
                if name != "Status":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield made
    finally:
        made.answering.set()
        server.shutdown()
        thread.join()
        server.server_close()


def knows_password(settings: Path, url: str, *, password: str = PASSWORD) -> Path:
    """A git configuration whose credential helper knows it; for GIT_CONFIG_GLOBAL."""
    helper = f"!f() {{ test $1 = get && echo username={USER} && echo password={password}; }}; f"
    settings.write_text(f'[credential "{url}"]\n\thelper = "{helper}"\n')
    return settings
