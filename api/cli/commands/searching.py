"""Searching a whole log: one bounded request after the other, until the log's end. The API looks; what is there once is
not read to find it.
"""

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.cli.client.connection import USAGE, CliError
from api.cli.client.follow import Follower
from api.cli.client.http import JOBS, ApiClient, Params
from api.cli.client.log_filter import MatchingLines
from api.cli.client.progress import QueueProgress, outcome
from api.cli.client.terminal import sink_for
from api.cli.output import note, print_json
from api.wording import counted, plural

_HITS: Final = 1000
"""The most that one request shows."""
_SHOWN_BYTES: Final = 500
"""As many of a line's bytes as the API shows."""


def search_log(api: ApiClient, job_id: str, asked: Mapping[str, str | int | None], limit: int, *, as_json: bool) -> int:
    """Print the first ``limit`` lines with a match and how many there are. Returns how many. Raises CliError."""
    found, hits, searched, cursor = 0, list[dict[str, Any]](), 0, None
    while True:
        params = {**asked, "limit": max(1, limit - len(hits)), "cursor": cursor}
        answer: Any = api.get(f"{JOBS}/{job_id}/logs/search", params)
        found += int(answer["count"])
        searched += int(answer["searched_bytes"])
        fresh = answer["hits"][: limit - len(hits)]
        hits += fresh
        if not as_json:
            with sink_for(sys.stdout) as sink:
                for hit in fresh:
                    sink.write(f"{hit['line']}: {hit['text']}\n".encode())
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    if as_json:
        print_json({**answer, "count": found, "hits": hits, "searched_bytes": searched})
    else:
        shown = f", the first {len(hits)} {plural(len(hits), 'is', 'are')} shown" if found > len(hits) else ""
        note(f"{counted(found, 'line')} of attempt {answer['attempt']}{shown}.")
    return found


@dataclass(frozen=True, slots=True)
class Grep:
    """The lines with ``text``. ``since``: epoch ms; ``tail``: only the last so many of what is stored."""

    text: str
    since: int | None = None
    tail: int | None = None
    attempt: int | None = None


def grep_log(api: ApiClient, job_id: str, wanted: Grep, *, follow: bool, raw: bool) -> int:
    """Print them, and with ``follow`` those that come until the job has ended. Returns how many of what is stored.

    Raises CliError.
    """
    job = api.job(job_id)
    number = wanted.attempt or (job.attempts[-1].number if job.attempts else 1)
    begin, line, total = _place(api, job_id, number, wanted.since)
    stored = _hits(api, job_id, wanted.text, number, f"{begin}:{max(1, line)}")
    # The last stored line may go on: a follower has all of it.
    kept = (hit for hit in stored if not follow or hit["line"] < total)
    count = 0
    with sink_for(sys.stdout, raw=raw) as sink:
        for hit in kept if wanted.tail is None else deque(kept, maxlen=wanted.tail):
            sink.write(_line(api, job_id, number, hit) + b"\n")
            count += 1
        sink.flush()
        if follow:
            lines, progress = MatchingLines(sink, wanted.text), QueueProgress(api, interactive=sys.stderr.isatty())
            part: dict[str, str | int] = {"lines": f"{max(1, line, total)}-"}
            try:
                ended = Follower(api, job_id, lines, progress, part=part).follow(number)
            finally:
                progress.clear()
            lines.close()
            note(outcome(ended))
    return count


def step_part(api: ApiClient, job_id: str, attempt: int | None, name: str) -> dict[str, str | int]:
    """Which lines a step's are, as the API is asked for them. Raises CliError."""
    found: list[Any] = []
    cursor: str | None = None
    while True:
        answer: Any = api.get(f"{JOBS}/{job_id}/logs/steps", {"attempt": attempt, "cursor": cursor})
        found += answer["steps"]
        if answer["next_cursor"] is None or not answer["steps"]:
            break
        cursor = answer["next_cursor"]
    exact = [each for each in found if each["name"] == name]
    named = exact or [each for each in found if each["name"].startswith(name)]
    if not named:
        there = ", ".join(each["name"] for each in found) or "none has begun"
        raise CliError(f"Attempt {answer['attempt']} has no step {name!r}; its steps: {there}.", USAGE)
    step = named[0]
    return {"lines": f"{step['first_line']}-{step['last_line'] or ''}"}


def _place(api: ApiClient, job_id: str, attempt: int, since: int | None) -> tuple[int, int, int]:
    """Where to begin: byte and line, and how many lines are stored."""
    part: Mapping[str, str | int] = {"lines": "1-"} if since is None else {"since": since}
    told: dict[str, str] = {}
    with api.stream(f"{JOBS}/{job_id}/logs", {"attempt": attempt, **part}, told=told.update):
        pass
    if "log-lines" not in told:
        raise CliError("This API is older and does not know --since: leave it out.", USAGE)
    lines, _, total = told["log-lines"].partition("/")
    return int(told["log-start"]), int(lines.partition("-")[0]), int(total)


def _line(api: ApiClient, job_id: str, attempt: int, hit: Mapping[str, Any]) -> bytes:
    """The whole of it: of a long one the hit shows what is around the text."""
    shown = str(hit["text"]).encode()
    if len(shown) < _SHOWN_BYTES:
        return shown
    found = b""
    with api.stream(f"{JOBS}/{job_id}/logs", {"attempt": attempt, "start": hit["offset"]}) as pieces:
        for piece in pieces:
            line, end, _ = piece.partition(b"\n")
            found += line
            if end:
                break
    return found


def _hits(api: ApiClient, job_id: str, text: str, attempt: int, cursor: str | None) -> Iterator[Any]:
    """All of them: a request shows no more than its limit, and stopped there it says where the next one begins."""
    asked: Params = {"text": text, "attempt": attempt, "limit": _HITS, "stop": True}
    while cursor is not None:
        answer: Any = api.get(f"{JOBS}/{job_id}/logs/search", {**asked, "cursor": cursor})
        yield from answer["hits"]
        cursor = answer["next_cursor"]
