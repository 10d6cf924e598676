"""What a gateway stands between: an API that knows tokens, Temporal, and agents with a token and nothing else."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
from temporalio.client import Client
from temporalio.service import TLSConfig

from api.cli.stack.certificates import Certificates, ensure_certificates
from api.cli.stack.launching import launch
from tests.servers import HOST, OWN_CODE, free_port, wait_until

POOL = "alpha"


class FakeApi:
    """``POST /auth/validate`` as the API answers it. ``tokens``: what each stands for; ``status`` goes before."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, object]] = {}
        self.status: int | None = None
        self.asked: list[str] = []
        self.names: list[str] = []
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_address[1]}"

    def knows(self, token: str, agent_id: str, pool: str = POOL) -> str:
        self.tokens[token] = {"subject": agent_id, "kind": "agent", "grants": [], "agent_id": agent_id, "pool": pool}
        return token

    def answer(self, path: str, token: str) -> tuple[int, object]:
        self.asked.append(token)
        if self.status is not None:
            return self.status, {}
        if path != "/auth/validate":
            return 404, {}
        return (200, self.tokens[token]) if token in self.tokens else (401, {"title": "unauthorized"})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                api.names.append(self.headers.get("User-Agent", ""))
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, body = api.answer(self.path, token)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    @contextmanager
    def serving(self) -> Generator["FakeApi"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(10)


class GatewayProcess:
    """A gateway with TLS, which can be killed and started again on the same port."""

    def __init__(self, folder: Path, temporal_address: str, api_url: str) -> None:
        self.port, self.log = free_port(), folder / "gateway.log"
        self.certificates = Certificates(folder)
        ensure_certificates(self.certificates, [HOST, "localhost"])
        self.environment = {
            "TEMPORAL_ADDRESS": temporal_address,
            "TEMPORAL_CONFIG_FILE": os.devnull,
            "HYBRIDCI_URL": api_url,
            "HYBRIDCI_GATEWAY_PORT": str(self.port),
            "HYBRIDCI_GATEWAY_KEY": "k" * 43,
            "HYBRIDCI_GATEWAY_TLS_CERT_FILE": str(self.certificates.certificate),
            "HYBRIDCI_GATEWAY_TLS_KEY_FILE": str(self.certificates.key),
            "MALLOC_ARENA_MAX": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        begins = self.log.stat().st_size if self.log.exists() else 0
        self.process = launch_gateway(self.environment, self.log)
        wait_until(lambda: b"gateway ready" in self.log.read_bytes()[begins:], seconds=60, what="gateway ready")

    def end(self, how: signal.Signals) -> int:
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(how)
        return process.wait(15)

    @property
    def resident_mib(self) -> float:
        assert self.process is not None
        return psutil.Process(self.process.pid).memory_info().rss / (1 << 20)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def tls(self) -> TLSConfig:
        return TLSConfig(server_root_ca_cert=self.certificates.authority.read_bytes())

    async def connect(self, token: str | None, namespace: str = "default") -> Client:
        return await Client.connect(self.address, api_key=token, tls=self.tls, namespace=namespace)


def launch_gateway(environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a gateway with these variables only."""
    own = {"PATH": os.environ["PATH"], "HOME": str(log.parent), **OWN_CODE, **environment}
    return launch([sys.executable, "-P", "-m", "api.cli.processes", "gateway"], log, env=own)


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]
