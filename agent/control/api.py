"""The agent's only HTTP client: register, send heartbeats, announce a start, send log chunks, send artifacts.

An answer is either taken (2xx), refused for good (``RequestRefused``: asking again cannot help) or missing for now
(``ApiUnreachable``). Who asks again, and how often, is decided by ``Backoff`` here and by the callers in
``logs.sender`` and ``artifacts.upload``. Deliberately not here: what is said to Temporal (``attempt.lease``,
``worker``).
"""

import json
import logging
import random
import time
from collections.abc import AsyncIterable, Callable, Sequence
from typing import Final, Self, cast
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from workflows.contracts.agents import AGENT_KEEPS_CONNECTIONS_SECONDS, AgentRegistration, Heartbeat, HeartbeatAnswer
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.workspace.inputs import InputFile, InputFileList

_TEMPORARY: Final = frozenset({408, 425, 429})
_TIMEOUT: Final = httpx.Timeout(10, connect=5)
_UPLOAD_TIMEOUT: Final = httpx.Timeout(60, connect=5)
"""The API passes a file of 1 GiB on before it answers."""
_HEARTBEAT_TIMEOUT: Final = httpx.Timeout(5)
_JSON: Final = {"Content-Type": "application/json"}

logger = logging.getLogger(__name__)


class RequestRefused(Exception):
    """The API will not take it, now or later."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ApiUnreachable(Exception):
    """The API did not answer, or asked to come back later."""


class ControlPlane:
    """All methods raise Refused or Unreachable when the API did not take it.

    ``key`` is shown until ``use_token``. From then on a token that is not known (any more) is a matter of registering
    again, which ``on_unauthorized`` is told, and not of giving up what was to be delivered.
    """

    def __init__(self, url: str, key: str, *, connections: int) -> None:
        self._shown, self._registered = key, False
        self.on_unauthorized: Callable[[], None] = _nobody
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            timeout=_TIMEOUT,
            verify=httpx.URL(url).scheme != "http",  # certificates are not loaded then: longer work than a request
            limits=httpx.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=AGENT_KEEPS_CONNECTIONS_SECONDS,
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def use_token(self, token: str) -> None:
        """Show this token from now on."""
        self._shown, self._registered = token, True

    async def register(self, registration: AgentRegistration, key: str) -> bytes:
        """Ask for a place in the pool, with the pool's key. Returns the answer's body, which holds a secret."""
        body = registration.model_dump_json()
        return (await self._request("POST", "/api/agents/register", body, _JSON, _TIMEOUT, key)).content

    async def heartbeat(self, agent_id: str, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Tell how this agent is, and hear what it is to do."""
        path = f"/api/agents/{quote(agent_id, safe='')}/heartbeat"
        answer = await self._send("POST", path, heartbeat.model_dump_json(), _JSON, _HEARTBEAT_TIMEOUT)
        try:
            return HeartbeatAnswer.model_validate_json(answer.content)
        except ValidationError as error:
            raise ApiUnreachable(f"{self._client.base_url} gave no answer to a heartbeat: {error}") from error

    async def deregister(self, agent_id: str) -> None:
        """Say good-bye."""
        path = f"/api/agents/{quote(agent_id, safe='')}/deregister"
        await self._send("POST", path, "{}", _JSON, _HEARTBEAT_TIMEOUT)

    async def announce_start(self, job_id: str, announcement: AttemptStarted, *, key: str | None = None) -> None:
        """Tell that the attempt is in this agent's hands. ``key``, here and below: its ``delivery_key``."""
        await self._put(
            f"{_attempt_path(job_id, announcement.attempt)}/start",
            announcement.model_dump_json(),
            {"Content-Type": "application/json", **_key(key)},
        )

    async def put_log_chunk(
        self,
        job_id: str,
        attempt: int,
        offset: int,
        data: bytes,
        *,
        marks: Sequence[tuple[int, int]],
        final: bool,
        sha256: str,
        key: str | None = None,
    ) -> None:
        """Send a piece of an attempt's log. ``marks``: (offset in ``data``, epoch ms); ``sha256``: of the log up to the
        piece's end, in hexadecimal. Idempotent by offset.
        """
        await self._put(
            f"{_attempt_path(job_id, attempt)}/log/{offset}",
            data,
            {
                "Content-Type": "application/octet-stream",
                "Log-Marks": json.dumps(marks, separators=(",", ":")),
                "Log-Final": "true" if final else "false",
                "Log-Sha256": sha256,
                **_key(key),
            },
        )

    async def put_artifact(
        self,
        job_id: str,
        attempt: int,
        path: str,
        body: AsyncIterable[bytes],
        *,
        size: int,
        sha256: str,
        executable: bool = False,
        key: str | None = None,
    ) -> None:
        """Send a file of ``size`` bytes; a repeated one replaces it."""
        await self._put(
            f"{_attempt_path(job_id, attempt)}/artifacts/{quote(path, safe='/')}",
            body,
            {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(size),
                "Content-SHA256": sha256,
                **({"Artifact-Executable": "true"} if executable else {}),
                **_key(key),
            },
            timeout=_UPLOAD_TIMEOUT,
        )

    async def put_artifact_bundle(
        self, job_id: str, attempt: int, body: bytes, *, sha256: str, key: str | None = None
    ) -> None:
        """Send many small files at once; all of them are taken, or none. An API of before 2026-11-30 has no such route
        and refuses with 404.
        """
        await self._put(
            f"{_attempt_path(job_id, attempt)}/artifact-bundles",
            body,
            {"Content-Type": "application/zip", "Content-SHA256": sha256, **_key(key)},
            timeout=_UPLOAD_TIMEOUT,
        )

    async def list_inputs(self, job_id: str, attempt: int, *, key: str | None = None) -> InputFileList:
        """The files of other jobs that the attempt begins with."""
        path = f"{_attempt_path(job_id, attempt)}/inputs"
        response = await self._send("GET", path, b"", _key(key), _TIMEOUT)
        try:
            return InputFileList.model_validate_json(response.content)
        except ValidationError as error:
            raise RequestRefused(response.status_code, "the API's list of inputs cannot be read") from error

    async def read_input(
        self, job_id: str, attempt: int, file: InputFile, write: Callable[[bytes], object], *, key: str | None = None
    ) -> None:
        """One of them, in pieces; what was written is of no use when this raises."""
        path = f"{_attempt_path(job_id, attempt)}/inputs/{file.index}/{quote(file.path, safe='/')}"
        headers = {**_key(key), "Authorization": f"Bearer {self._shown}"}
        try:
            async with self._client.stream("GET", path, headers=headers, timeout=_UPLOAD_TIMEOUT) as response:
                if not response.is_success:
                    await response.aread()
                    said = f"{response.status_code} {response.reason_phrase} {_detail(response)}".strip()
                    if response.status_code >= 500 or response.status_code in {401, *_TEMPORARY}:
                        raise ApiUnreachable(f"{self._client.base_url} answered {said}")
                    raise RequestRefused(response.status_code, f"{self._client.base_url} answered {said}")
                async for piece in response.aiter_bytes():
                    write(piece)
        except httpx.TransportError as error:
            raise ApiUnreachable(f"{self._client.base_url} did not answer ({_words(error)})") from error

    async def _put(
        self,
        path: str,
        content: str | bytes | AsyncIterable[bytes],
        headers: dict[str, str],
        timeout: httpx.Timeout = _TIMEOUT,
    ) -> None:
        await self._send("PUT", path, content, headers, timeout)

    async def _send(
        self,
        method: str,
        path: str,
        content: str | bytes | AsyncIterable[bytes],
        headers: dict[str, str],
        timeout: httpx.Timeout,
    ) -> httpx.Response:
        shown = self._shown
        try:
            return await self._request(method, path, content, headers, timeout, shown)
        except RequestRefused as error:
            if error.status != 401 or not self._registered:
                raise
            if shown == self._shown:
                self.on_unauthorized()
            raise ApiUnreachable(f"the agent's token is not accepted, so it registers again: {error}") from error

    async def _request(
        self,
        method: str,
        path: str,
        content: str | bytes | AsyncIterable[bytes],
        headers: dict[str, str],
        timeout: httpx.Timeout,
        key: str,
    ) -> httpx.Response:
        shown = {**headers, "Authorization": f"Bearer {key}"}
        try:
            response = await self._client.request(method, path, content=content, headers=shown, timeout=timeout)
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol) as error:
            raise RequestRefused(0, f"The request could not be formed: {error}") from error
        except httpx.TransportError as error:
            raise ApiUnreachable(f"{self._client.base_url} did not answer ({_words(error)})") from error
        if response.is_success:
            return response
        said = f"{response.status_code} {response.reason_phrase} {_detail(response)}".strip()
        if response.status_code >= 500 or response.status_code in _TEMPORARY:
            raise ApiUnreachable(f"{self._client.base_url} answered {said}")
        raise RequestRefused(response.status_code, f"{self._client.base_url} answered {said}")


class Backoff:
    """How long to wait before asking again: doubling from 0.2 s to 5 s, with jitter, so that agents spread out.

    Says what, why and what follows in the log, at most once a minute.
    """

    def __init__(self, what: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock = what, clock
        self._failures = 0
        self._said_at: float | None = None

    def succeeded(self) -> None:
        """Start again from the short end."""
        if self._said_at is not None:
            logger.info("%s works again after %d failures", self._what, self._failures)
        self._failures, self._said_at = 0, None

    def failed(self, why: Exception) -> float:
        """Count the failure and return the seconds to wait."""
        ceiling = min(5.0, 0.2 * 2 ** min(self._failures, 10))
        self._failures += 1
        seconds = ceiling * random.uniform(0.5, 1)  # noqa: S311 -- jitter, not cryptography
        now = self._clock()
        if self._said_at is None or now - self._said_at >= 60:
            self._said_at = now
            logger.warning("%s failed: %s; trying again in %.1f s, as often as it takes", self._what, why, seconds)
        return seconds


def _key(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Delivery-Key": key}


def _attempt_path(job_id: str, attempt: int) -> str:
    return f"/api/queue/jobs/{quote(job_id, safe='')}/attempts/{attempt}"


def _detail(response: httpx.Response) -> str:
    """What a problem says for people, else the beginning of the body."""
    try:
        problem: object = response.json()
    except ValueError:
        problem = None
    detail = cast(dict[str, object], problem).get("detail") if isinstance(problem, dict) else None
    return detail if isinstance(detail, str) else response.text[:300]


def _nobody() -> None:
    """Before there is a registrar."""


def _words(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__
