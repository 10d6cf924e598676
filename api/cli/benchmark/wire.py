"""The API as the benchmark speaks to it: one kept connection, from the standard library.

A full HTTP client costs about a millisecond of CPU per request on the machine that is being measured; this one costs a
tenth. Not safe for concurrent use: each thread has its own.
"""

import http.client
import json
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import EnvironmentState

_TIMEOUT_SECONDS: Final = 60.0
_TRIES: Final = 10
"""Of a request that may be repeated; each 503 comes after 15 s in which Temporal or the worker did not answer."""
JOBS: Final = "/api/dashboard/jobs"
STATS: Final = "/api/queue/stats"
DEPLOYMENTS: Final = "/api/dashboard/deployments"
SERVICES: Final = "/api/dashboard/services"
AGENTS: Final = "/api/agents"
SUMMARY: Final = "/api/dashboard/summary"


class BenchmarkFailed(Exception):
    """It could not be measured; the message says why and what to do next."""


class Api:
    """One connection with a key."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def hang_up(self) -> None:
        """The next request opens a new connection."""
        self._connection.close()

    def read(self, path: str) -> bytes:
        """The body of an answer to GET. Raises BenchmarkFailed."""
        return self._request("GET", path, None)

    def job(self, job_id: str) -> dict[str, Any]:
        """A job's record. Raises BenchmarkFailed."""
        found: dict[str, Any] = json.loads(self.read(f"{JOBS}/{job_id}"))
        return found

    def stats(self) -> dict[str, Any]:
        """The queue in numbers. Raises BenchmarkFailed."""
        found: dict[str, Any] = json.loads(self.read(STATS))
        return found

    def summary(self) -> dict[str, Any]:
        """Jobs and deployments in numbers. Raises BenchmarkFailed."""
        found: dict[str, Any] = json.loads(self.read(SUMMARY))
        return found

    def submit(self, body: bytes) -> str:
        """Submit a job; its id. Raises BenchmarkFailed."""
        created: dict[str, Any] = json.loads(self._request("POST", JOBS, body))
        return str(created["job_id"])

    def enrol(self, registration: Mapping[str, object]) -> dict[str, Any]:
        """Register an agent; what it is told, its token among it. Raises BenchmarkFailed."""
        told: dict[str, Any] = json.loads(
            self._request("POST", f"{AGENTS}/register", json.dumps(registration).encode())
        )
        return told

    def register(self, service: str, spec: Mapping[str, object]) -> None:
        """Register a service, or change its definition. Raises BenchmarkFailed."""
        self._request("PUT", f"{SERVICES}/{service}", json.dumps(spec).encode())

    def deploy(self, request: Mapping[str, object], key: str) -> str:
        """Start a deployment; its id. The key makes it safe to ask again while the stack is too busy to answer. Raises
        BenchmarkFailed.
        """
        body, headers = json.dumps(request).encode(), {"Idempotency-Key": key}
        content = self._request("POST", DEPLOYMENTS, body, headers, tries=_TRIES)
        created: dict[str, Any] = json.loads(content)
        return str(created["deployment_id"])

    def tell(self, path: str, command: Mapping[str, object]) -> None:
        """POST a command. Raises BenchmarkFailed."""
        self._request("POST", path, json.dumps(command).encode())

    def register_agent(self, registration: Mapping[str, object]) -> str:
        """Register an agent; the token it works with. Raises BenchmarkFailed."""
        content = self._request("POST", f"{AGENTS}/register", json.dumps(registration).encode())
        registered: dict[str, Any] = json.loads(content)
        return str(registered["token"])

    def heartbeat(self, agent_id: str, body: bytes, token: str) -> None:
        """Send an agent's heartbeat with its own token. Raises BenchmarkFailed."""
        headers = {"Authorization": f"Bearer {token}"}
        self._request("POST", f"{AGENTS}/{agent_id}/heartbeat", body, headers)

    def ask(self, path: str, question: Mapping[str, object]) -> dict[str, Any]:
        """Ask a pool's agents; what became of it. Raises BenchmarkFailed."""
        found: dict[str, Any] = json.loads(self._request("POST", path, json.dumps(question).encode()))
        return found

    def deployment(self, deployment_id: str) -> Deployment:
        """A deployment's record. Raises BenchmarkFailed."""
        return Deployment.model_validate_json(self.read(f"{DEPLOYMENTS}/{deployment_id}"))

    def environment(self, service: str, environment: str) -> EnvironmentState:
        """An environment's record. Raises BenchmarkFailed."""
        return EnvironmentState.model_validate_json(self.read(f"{SERVICES}/{service}/environments/{environment}"))

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None, *, tries: int = 1
    ) -> bytes:
        status, content = self._exchange(method, path, body, {**self._headers, **(headers or {})})
        if status == HTTPStatus.SERVICE_UNAVAILABLE and tries > 1:
            return self._request(method, path, body, headers, tries=tries - 1)
        if status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
            detail = content[:500].decode(errors="replace")
            raise BenchmarkFailed(f"{method} {path} was answered with {status}: {detail}")
        return content

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        try:
            self._connection.request(method, path, body, dict(headers))
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchmarkFailed(f"{method} {path} was not answered: {error!r}. Look at the stack's logs.") from error
