"""The API as the benchmark speaks to it: one kept connection, from the standard library.

A full HTTP client costs about a millisecond of CPU per request on the machine that is being measured; this one costs a
tenth. Not safe for concurrent use: each thread has its own.
"""

import http.client
import json
from types import TracebackType
from typing import Any, Final, Self

_TIMEOUT_SECONDS: Final = 60.0
JOBS: Final = "/api/dashboard/jobs"
STATS: Final = "/api/queue/stats"


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

    def submit(self, body: bytes) -> str:
        """Submit a job; its id. Raises BenchmarkFailed."""
        created: dict[str, Any] = json.loads(self._request("POST", JOBS, body))
        return str(created["job_id"])

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        try:
            self._connection.request(method, path, body, self._headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchmarkFailed(f"{method} {path} was not answered: {error!r}. Look at the stack's logs.") from error
        if answer.status not in {200, 201}:
            detail = content[:500].decode(errors="replace")
            raise BenchmarkFailed(f"{method} {path} was answered with {answer.status}: {detail}")
        return content
