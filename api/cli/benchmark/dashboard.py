"""The dashboard of an installation that has worked for a while: pages, a long log, and many that look at it.

Each page is asked for in turns with a plain page of the same server (the one that asks nobody: signing in), so that the
ratio holds on any machine. Deliberately not here: filling the stores (``seed``, ``seed_dashboard``), live streams
(``streams``), how a browser paints (``tests/browser``).
"""

import gzip
import http.client
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from api.auth.permissions import ROUTES, Open
from api.cli.benchmark.own_stack import OwnStack, own_stack
from api.cli.benchmark.report import DashboardFigures, PageFigures, Times
from api.cli.benchmark.seed import job_id_of
from api.cli.benchmark.seed_dashboard import WORD, deployment_id_of, service_name_of
from api.cli.benchmark.streams import measure_streams
from api.cli.benchmark.wire import BenchmarkFailed
from api.cli.stack.children import LOOPBACK

_PLAIN: Final = "/sign-in"
_WARM_UP: Final = 3
_TIMEOUT_SECONDS: Final = 120.0
_LOG_LOOKS: Final = 5
_AGENT: Final = "benchmark-dashboard"
_STATIC: Final = re.compile(r'(?:href|src)="(/static/[^"]+)"')
_IMPORT: Final = re.compile(r'(?:from|import)\s*"\./([\w.-]+\.js)"')


def measure_dashboard(
    folder: Path, stored: int, deployments: int, log_mib: int, streams: int, samples: int, say: Callable[[str], None]
) -> DashboardFigures:
    """With so many jobs and deployments stored, and a log of so many MiB. Raises BenchmarkFailed."""
    with own_stack(folder / "dashboard", agents=0, capacity=1) as stack:
        _fill(stack, "seed", [stored], say)
        _fill(stack, "seed_dashboard", [deployments, log_mib], say)
        with stack.api() as api:
            api.register_agent({"agent_id": _AGENT, "instance": "benchmark-1", "pool": "default", "hostname": "bench"})
        web = _Web(stack)
        pages, left_out = _pages(web, _ids(stored, deployments))
        measured = _measure(web, pages, samples)
        say(f"dashboard: {len(pages)} pages, {samples} samples of each; without a thing to show: {left_out or 'none'}")
        opened, found = _log(web, job_id_of(0))
        say("dashboard: the log was opened and searched")
        figures = measure_streams(stack, streams, say)
        return DashboardFigures(
            stored=stored,
            deployments=deployments,
            plain=measured.pop(_PLAIN),
            pages=[PageFigures(path=path, times=times) for path, times in measured.items()],
            left_out=left_out,
            first_page_bytes=_first_page(web),
            log_mib=log_mib,
            log_open=opened,
            log_search=found,
            streams=figures,
        )


class _Web:
    """A browser's requests over one kept connection."""

    def __init__(self, stack: OwnStack) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, stack.options.api_port, timeout=_TIMEOUT_SECONDS)
        key = stack.data.admin_key.read_text(encoding="utf-8").strip()
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "text/html", "Accept-Encoding": "gzip"}

    def get(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers in lower case, and the body as it was sent. Raises BenchmarkFailed."""
        try:
            self._connection.request("GET", path, headers=self._headers)
            answer = self._connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchmarkFailed(f"GET {path} was not answered: {error!r}. Look at the stack's logs.") from error


def _ids(stored: int, deployments: int) -> dict[str, str]:
    return {
        "job_id": job_id_of(stored // 2),
        "deployment_id": deployment_id_of(deployments - 1),
        "name": service_name_of(0),
        "agent_id": _AGENT,
    }


def _pages(web: _Web, ids: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The addresses of the router's pages, the plain one first; and those for which nothing is stored."""
    paths = [
        route.removeprefix("GET ")
        for route, need in ROUTES.items()
        if need is Open.PAGE and route.startswith("GET ") and "/static/" not in route
    ]
    known, left_out = [_PLAIN], list[str]()
    for path in paths:
        names = re.findall(r"\{(\w+)\}", path)
        where = re.sub(r"\{(\w+)\}", lambda part: ids.get(part[1], ""), path)
        if any(name not in ids for name in names) or not _is_page(web, where):
            left_out.append(path)
        elif where not in known:
            known.append(where)
    return known, left_out


def _is_page(web: _Web, where: str) -> bool:
    status, headers, _ = web.get(where)
    return status == http.client.OK and headers.get("content-type", "").startswith("text/html")


def _measure(web: _Web, pages: list[str], samples: int) -> dict[str, Times]:
    took: dict[str, list[float]] = {page: [] for page in pages}
    for number in range(-min(_WARM_UP, samples), samples):
        for page, times in took.items():
            began = time.perf_counter()
            status, _, _ = web.get(page)
            if status != http.client.OK:
                raise BenchmarkFailed(f"GET {page} was answered with {status}.")
            if number >= 0:
                times.append((time.perf_counter() - began) * 1e3)
    return {page: Times.of(times) for page, times in took.items()}


def _first_page(web: _Web) -> int:
    """Bytes of bodies: the first page's HTML, and every file that it and its scripts name, as they are sent."""
    _, headers, body = web.get("/")
    html = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
    todo, seen, total = _STATIC.findall(html.decode()), set[str](), len(body)
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        status, headers, body = web.get(path)
        if status != http.client.OK:
            raise BenchmarkFailed(f"GET {path} was answered with {status}.")
        total += len(body)
        if path.endswith(".js"):
            text = (gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body).decode()
            todo += [f"{path.rpartition('/')[0]}/{name}" for name in _IMPORT.findall(text)]
    return total


def _log(web: _Web, job_id: str) -> tuple[Times, Times]:
    """Opened at its end as the page does, and a word that stands once in its middle found."""
    opened, found = list[float](), list[float]()
    for _ in range(_LOG_LOOKS):
        for path, times, wanted in (
            (f"/jobs/{job_id}/log?attempt=1&lines=-200", opened, None),
            (f"/api/dashboard/jobs/{job_id}/logs/search?attempt=1&text={WORD.decode()}", found, WORD),
        ):
            began = time.perf_counter()
            status, headers, body = web.get(path)
            times.append((time.perf_counter() - began) * 1e3)
            text = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            if status != http.client.OK or (wanted is not None and wanted not in text):
                raise BenchmarkFailed(f"GET {path} was answered with {status}: {text[:300]!r}")
    return Times.of(opened), Times.of(found)


def _fill(stack: OwnStack, module: str, sizes: list[int], say: Callable[[str], None]) -> None:
    """In a process with the control worker's settings."""
    began = time.monotonic()
    command = [sys.executable, "-P", "-m", f"api.cli.benchmark.{module}", *map(str, sizes)]
    done = subprocess.run(command, env=dict(stack.environment("worker")), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkFailed(f"{module} could not fill the stores: {done.stderr[-2000:]}")
    say(f"dashboard: {module} {' '.join(map(str, sizes))} stored in {time.monotonic() - began:.0f} s")
