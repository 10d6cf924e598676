"""HTTP client of the command line: ask the API, and turn whatever goes wrong into one clear sentence.

Deliberately not here: finding the API and its key (``connection``) and reconnecting while waiting (``follow``). httpx
is imported when the first request is made, so that `--help` stays fast.
"""

import json
import re
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

from api.cli.client.accepted import is_accepted, record_of
from api.cli.client.connection import REFUSED, USAGE, ApiConnection, CliError
from api.wording import counted
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.ids import is_uuid
from workflows.contracts.jobs import Job
from workflows.version import product_version

if TYPE_CHECKING:
    import httpx

JOBS: Final = "/api/dashboard/jobs"
DEAD_LETTERS: Final = "/api/queue/dead-letters"
DEPLOYMENTS: Final = "/api/dashboard/deployments"
SERVICES: Final = "/api/dashboard/services"
PAGE_SIZE: Final = 100
"""The most that the API puts on one page."""
_SEARCHED_PAGES: Final = 20
_TIMEOUT_SECONDS: Final = 30.0
_CREATE_PAUSES: Final = (0.5, 1.0, 2.0)
_ROUTE_BESIDE: Final = re.compile(r"(`hybridci [^`\n]+`), (?:GET|POST|PUT|PATCH|DELETE) /api/[\w/{}.@-]*[\w}]")
"""What the API names for programs, beside the command for people."""
_COMMAND: Final = re.compile(r"`hybridci ([^`\n]+)`")
_SERVICE_ROUTE: Final = re.compile(r".*/api/dashboard/services/([^/]+)")
_PREFIX: Final = re.compile(r"[0-9a-f-]{4,36}")
_LONG_ID: Final = re.compile(r"(?<![\w-])([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])")
_TAKE_SHORT_IDS: Final = ("job ", "logs ", "dlq ", "deploy ", "repair job ", "repair deploy ", "freeze override ")

Params = Mapping[str, str | int | bool | Sequence[str] | None]


class Transient(CliError):
    """No answer, or none now: the same request can succeed later."""


class Unreachable(Transient):
    """Nothing listens there: the request was not delivered."""


class KeyMayNot(CliError):
    """Who this key stands for may not do or see that."""


class ApiRefused(CliError):
    """The API understood and said no, with an HTTP status; ``errors`` have a ``field`` and a ``message`` each."""

    def __init__(self, message: str, status: int, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message, REFUSED)
        self.status, self.errors = status, errors


class ApiClient:
    """One connection to the API. All methods raise CliError."""

    def __init__(self, connection: ApiConnection) -> None:
        import httpx

        self.connection = connection
        self._client = httpx.Client(
            base_url=connection.url,
            headers={
                **({"Authorization": f"Bearer {connection.key}"} if connection.key else {}),
                "Accept": "application/json",
                "User-Agent": f"hybridci/{product_version()}",  # by which the audit trail tells the command line
            },
            timeout=_TIMEOUT_SECONDS,
            # Loading the certificate store takes longer than a local request.
            verify=httpx.URL(connection.url).scheme != "http",
            # A proxy from the environment cannot reach this machine's own loopback.
            trust_env=not connection.local,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        also: frozenset[int] = frozenset(),
    ) -> Any:
        """The answer's JSON, of what is accepted its record; None for an empty answer. ``also``: statuses of problems
        that are an answer here.
        """
        with self._translated():
            response = self._client.request(method, path, params=_given(params), json=body, headers=dict(headers or {}))
        if response.status_code not in also:
            self._check(response)
        if not response.content:
            return None
        try:
            content: Any = response.json()
        except ValueError:
            raise self._no_api(response) from None
        return record_of(content, self.get) if is_accepted(response.status_code, content) else content

    def get(self, path: str, params: Params | None = None) -> Any:
        """GET."""
        return self.request("GET", path, params=params)

    def create(self, path: str, body: object, *, idempotency_key: str | None = None) -> Any:
        """POST with an idempotency key, so that a request whose answer got lost can be sent again."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        for pause in _CREATE_PAUSES:
            try:
                return self.request("POST", path, body=body, headers=headers)
            except Unreachable:
                raise
            except Transient:
                time.sleep(pause)
        return self.request("POST", path, body=body, headers=headers)

    @contextmanager
    def stream(
        self,
        path: str,
        params: Params | None = None,
        *,
        silence_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
        told: Callable[[Mapping[str, str]], None] | None = None,
    ) -> Generator[Iterator[bytes]]:
        """The answer's body as it arrives; it also ends after ``silence_seconds`` without a byte, when given. ``told``
        gets the answer's headers.
        """
        sent = {"Accept": "*/*", "Accept-Encoding": "identity", **(headers or {})}
        request = self._client.build_request("GET", path, params=_given(params), headers=sent)
        if silence_seconds is not None:
            request.extensions["timeout"]["read"] = silence_seconds
        with self._translated():
            response = self._client.send(request, stream=True)
            try:
                if not response.is_success:
                    response.read()
                    self._check(response)
                if told is not None:
                    told(response.headers)
                yield _pieces(response, silence_ends=silence_seconds is not None)
            finally:
                response.close()

    def job(self, job_id: str) -> Job:
        """A job's record."""
        return Job.model_validate(self.get(f"{JOBS}/{job_id}"))

    def deployment(self, deployment_id: str) -> Deployment:
        """A deployment's record."""
        return Deployment.model_validate(self.get(f"{DEPLOYMENTS}/{deployment_id}"))

    def page(
        self,
        path: str,
        params: Params,
        *,
        limit: int | None,
        cursor: str | None = None,
        keep: Callable[[dict[str, Any]], bool] | None = None,
    ) -> dict[str, Any]:
        """Up to ``limit`` items (all when None) in the shape of one page of the API, from ``cursor`` on; ``keep``
        filters further.

        Without success it stops searching after a number of pages; ``next_cursor`` then tells that there can be more,
        ``stopped_early`` that it did, and ``looked_at`` how far it came.
        """
        items: list[dict[str, Any]] = []
        pages, looked_at = 0, list[int]()
        while True:
            missing = PAGE_SIZE if limit is None else limit - len(items)
            size = PAGE_SIZE if keep else min(PAGE_SIZE, missing)
            answer: Any = self.get(path, {**params, "limit": size, "cursor": cursor})
            found = [item for item in cast(list[dict[str, Any]], answer["items"]) if keep is None or keep(item)]
            items += found[:missing] if limit is not None else found
            cursor = answer.get("next_cursor")
            pages += 1
            looked_at += [answer["looked_at"]] if answer.get("looked_at") else []
            full = limit is not None and len(items) >= limit
            if cursor is None or full or (limit is not None and pages >= _SEARCHED_PAGES):
                stopped = cursor is not None and not full
                return {
                    **answer, "items": items, "next_cursor": cursor, "stopped_early": stopped,
                    **({"looked_at": sum(looked_at)} if looked_at else {}),
                }  # fmt: skip

    def find_job_id(self, text: str, *, path: str = JOBS) -> str:
        """The id that ``text`` means: a whole id, or the beginning of exactly one, among the newest 500 or, when none
        of those begins so, of all.
        """
        wanted = text.strip().lower()
        if is_uuid(wanted):
            return wanted
        if not _PREFIX.fullmatch(wanted):
            raise CliError(f"{text!r} is no job id: give the id, or at least its first 4 characters.", USAGE)
        newest = self.page(path, {}, limit=5 * PAGE_SIZE)
        recent, all_seen = newest["items"], newest["next_cursor"] is None
        found = [str(item["job_id"]) for item in recent if str(item["job_id"]).startswith(wanted)]
        if not found and not all_seen:
            found, all_seen = self._older_jobs(path, wanted)
        what = "dead letter" if path == DEAD_LETTERS else "job"
        if not found and all_seen:
            raise CliError(f"There is no {what} whose id begins with {wanted}.")
        if not found:
            raise CliError(
                f"None of the newest {counted(len(recent), what)} has an id that begins with {wanted}. Give all of it."
            )
        if len(found) > 1:
            shown = ", ".join(found[:4]) + (", …" if len(found) > 4 else "")
            raise CliError(f"{wanted} begins the ids of {len(found)} jobs ({shown}). Give more of it.", USAGE)
        return found[0]

    def _older_jobs(self, path: str, wanted: str) -> tuple[list[str], bool]:
        """Ids that begin so, of all that there are, and whether all were looked at: an API may have to stop before, and
        an old one cannot be asked for that.
        """
        try:
            page = self.page(path, {"job_id": wanted}, limit=2)
        except ApiRefused as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            return [], False
        return [str(item["job_id"]) for item in page["items"]], page["next_cursor"] is None

    def near_service(self, name: str) -> str:
        """The end of a sentence about a service that is not there: which may have been meant. Empty when it is there,
        none is near, or they cannot be listed.
        """
        from difflib import get_close_matches

        try:
            names = [str(each["name"]) for each in self.page(SERVICES, {}, limit=5 * PAGE_SIZE)["items"]]
        except CliError:
            return ""
        near = [] if name in names else get_close_matches(name, names, n=3, cutoff=0.6)
        return f" Did you mean {' or '.join(near)}?" if near else ""

    def command(self, text: str) -> str:
        """A command to suggest that reaches the same API; with ids as short as commands take them."""
        short = _LONG_ID.sub(r"\1", text) if text.startswith(_TAKE_SHORT_IDS) else text
        return f"hybridci {self.connection.options}{short}{self.connection.arguments}"

    def reachable(self, text: str) -> str:
        """A sentence of the API with its commands (`hybridci …`) completed as ``command`` does, without the routes that
        do the same.
        """
        return _COMMAND.sub(lambda found: f"`{self.command(found[1])}`", _ROUTE_BESIDE.sub(r"\1", text))

    @contextmanager
    def _translated(self) -> Generator[None]:
        import httpx

        try:
            yield
        except UnicodeEncodeError as error:  # how Python keeps the bytes of an argument that are no text
            what = error.object[max(0, error.start - 20) : error.end]
            raise CliError(f"{what!r} holds bytes that are not UTF-8. Give it as UTF-8.", USAGE) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            where = "HYBRIDCI_URL" if self.connection.context is None else f"the context {self.connection.context}"
            advice = "Start it with `hybridci up`" if self.connection.local else f"Check {where} and the network"
            raise Unreachable(
                f"No answer from {self.connection.url} ({_reason(error)}): it is not running there or cannot be "
                f"reached. {advice}, then try again.",
                USAGE,
            ) from None
        except httpx.TimeoutException:
            raise Transient(
                f"{self.connection.url} accepted the request but did not answer in time. See its log, then try again.",
                USAGE,
            ) from None
        except httpx.RequestError as error:
            raise Transient(
                f"The connection to {self.connection.url} broke ({_reason(error)}). Try again.", USAGE
            ) from None

    def _check(self, response: "httpx.Response") -> None:
        status = response.status_code
        if response.is_success:
            return
        problem = _problem(response)
        if status == 401 and self.connection.key:
            raise CliError(f"{self.connection.url} does not know this API key. {self._other_key()}", USAGE)
        if status == 403 and self.connection.key:
            raise KeyMayNot(
                f"This API key may not do that: {_sentence(problem) or 'forbidden'} Use another key.", USAGE
            )
        if problem is None and status not in (429, 502, 503, 504):
            raise self._no_api(response)
        message = (
            self.reachable(_sentence(problem)) or f"{self.connection.url} answered {status} {response.reason_phrase}."
        )
        if status in (429, 502, 503, 504):
            raise Transient(f"{message} Try again in a moment.")
        if status >= 500:
            raise CliError(f"The API failed ({status}): {message} Its log says more.")
        named = _missing_service(response, problem)
        message += self.near_service(named) if named else ""
        raise ApiRefused(message, status, [each for each in _errors(problem) if "field" in each and "message" in each])

    def _other_key(self) -> str:
        """What to do about a key that does not count."""
        context = self.connection.context
        if context is not None:
            again = f"hybridci login {self.connection.url} --name {context}"
            return f"It is of the context {context}, and has ended or was revoked: sign in anew with `{again}`."
        return (
            "Use the data directory of the `hybridci up` that runs there (--data-dir), set HYBRIDCI_API_KEY to a valid "
            "key, or sign in with `hybridci login`."
        )

    def _no_api(self, response: "httpx.Response") -> CliError:
        return CliError(
            f"{response.request.url.copy_with(query=None)} answered {response.status_code} and no JSON: this is not "
            "the hybridci API of this version. Check HYBRIDCI_URL or --data-dir.",
            USAGE,
        )


def _pieces(response: "httpx.Response", *, silence_ends: bool) -> Iterator[bytes]:
    import httpx

    try:
        yield from response.iter_raw()
    except httpx.ReadTimeout:
        if not silence_ends:
            raise


def _given(params: Params | None) -> dict[str, str | int | bool | Sequence[str]]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text).rstrip(".").lower()


def _problem(response: "httpx.Response") -> dict[str, Any] | None:
    try:
        content: Any = response.json()
    except ValueError:
        return None
    return cast(dict[str, Any], content) if isinstance(content, dict) else None


def _sentence(problem: dict[str, Any] | None) -> str:
    """``detail`` with every bad field, as problem+json (RFC 9457) carries them."""
    if problem is None:
        return ""
    text = str(problem.get("detail") or problem.get("title") or "")
    text += "" if not text or text.endswith((".", "!", "?")) else "."
    for fields in _errors(problem):
        text += f"\n  {fields.get('field')}: {fields.get('message')}"
    return text


def _missing_service(response: "httpx.Response", problem: dict[str, Any] | None) -> str | None:
    """The service that was asked for and may not be there."""
    if response.status_code == HTTPStatus.NOT_FOUND:
        found = _SERVICE_ROUTE.match(response.request.url.path)
        return None if found is None else found[1]
    if not any(each.get("field") == "service_name" for each in _errors(problem)):
        return None
    try:
        body: Any = json.loads(response.request.content)
        return str(body["service_name"])
    except (ValueError, KeyError, TypeError):
        return None


def _errors(problem: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Its bad fields."""
    raw: Any = (problem or {}).get("errors")
    errors = cast(list[Any], raw) if isinstance(raw, list) else []
    return [cast(dict[str, Any], error) for error in errors if isinstance(error, dict)]
