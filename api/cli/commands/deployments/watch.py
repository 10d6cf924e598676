"""Follow a deployment until it is live or has ended: one moving picture on a terminal, changed lines elsewhere.

The record is asked for again and again; an API that is away is waited for. Deliberately not here: what there is to see
(``view``) and why it failed (``advice``).
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from api.cli.client.connection import INTERRUPTED, REFUSED
from api.cli.client.http import DEPLOYMENTS, ApiClient, Transient
from api.cli.commands.deployments.advice import find_failure, print_failure
from api.cli.commands.deployments.view import NOT_REACHED, outcome, rollback_words, settled, state, title, way_rows
from api.cli.output import clean, console, note, now_ms, print_json, span, styled
from workflows.contracts.deployments.deployment import Decision, Deployment, DeploymentStatus, StageStatus

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

WENT_WELL: Final = frozenset({DeploymentStatus.LIVE, DeploymentStatus.SUPERSEDED})
WENT_BACK: Final = frozenset({DeploymentStatus.ROLLED_BACK})
_POLL_SECONDS: Final = (0.2, 0.3, 0.5, 0.5, 1.0)
_RETRY_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_GIVE_UP_SECONDS: Final = 3600.0
"""A deployment can wait for days: an API that is being replaced is no reason to stop watching it."""


class View(Protocol):
    """Shows a deployment as it changes."""

    def update(self, deployment: Deployment) -> None:
        """The record as just read."""
        ...

    def away(self, url: str) -> None:
        """The API does not answer: it is asked again until it does."""
        ...

    def close(self) -> None:
        """Nothing more will be shown."""
        ...


def watch(
    api: ApiClient,
    deployment_id: str,
    *,
    as_json: bool = False,
    good: frozenset[DeploymentStatus] = WENT_WELL,
) -> int:
    """Show the deployment until it is live or has ended. Returns the exit code: 0 when that is ``good``, else 1.

    With ``as_json`` stdout holds the last record and nothing else. Raises CliError.
    """
    view = _view(api, stderr=as_json)
    try:
        deployment = follow(api, deployment_id, view)
    except KeyboardInterrupt:
        view.close()
        note(
            f"\nDetached: the deployment goes on. Follow it with `{api.command(f'deploy watch {deployment_id}')}`, end "
            f"it with `{api.command(f'deploy cancel {deployment_id}')}`."
        )
        return INTERRUPTED
    finally:
        view.close()
    _tell_end(api, deployment, as_json=as_json)
    return 0 if deployment.status in good else REFUSED


def follow(api: ApiClient, deployment_id: str, view: View, *, give_up_seconds: float = _GIVE_UP_SECONDS) -> Deployment:
    """The record once nothing more happens by itself. Raises CliError, Transient when the API stays away too long."""
    quiet, missed, away_since = 0, 0, 0.0
    last: Deployment | None = None
    while True:
        try:
            deployment = api.deployment(deployment_id)
        except Transient:
            away_since = away_since if missed else time.monotonic()
            if time.monotonic() - away_since > give_up_seconds:
                raise
            if missed == 1:
                view.away(api.connection.url)
            time.sleep(_RETRY_SECONDS[min(missed, len(_RETRY_SECONDS) - 1)])
            missed += 1
            continue
        missed = 0
        view.update(deployment)
        if settled(deployment):
            return deployment
        quiet = quiet + 1 if last is not None and last == deployment else 0
        last = deployment
        time.sleep(_POLL_SECONDS[min(quiet, len(_POLL_SECONDS) - 1)])


@dataclass(slots=True)
class PlainView:
    """One line for each thing that changed, for logs and pipes."""

    api: ApiClient
    stderr: bool = False
    _said: dict[str, str] = field(default_factory=dict[str, str], init=False)

    def update(self, deployment: Deployment) -> None:
        """Print what is new."""
        now = dict(facts(deployment, self.api))
        for key, text in now.items():
            if self._said.get(key) != text:
                self._line(text)
        self._said = now

    def away(self, url: str) -> None:
        """Say it once for each outage."""
        note(f"{url} does not answer: waiting for it. The deployment goes on meanwhile.")

    def close(self) -> None:
        """Nothing to take away."""

    def _line(self, text: str) -> None:
        stream = sys.stderr if self.stderr else sys.stdout
        stream.write(clean(" ".join(text.split())) + "\n")
        stream.flush()


@dataclass(slots=True)
class LiveView:
    """A picture of all stages that changes in place."""

    api: ApiClient
    stderr: bool = False
    _live: "Live | None" = field(default=None, init=False)

    def update(self, deployment: Deployment) -> None:
        """Draw it again."""
        from rich.live import Live

        drawn = picture(deployment, self.api)
        if self._live is None:
            self._live = Live(drawn, console=console(stderr=self.stderr), auto_refresh=False)
            self._live.start()
        self._live.update(drawn, refresh=True)

    def away(self, url: str) -> None:
        """Above the picture, which stays as it was."""
        if self._live is not None:
            self._live.console.print(f"{url} does not answer: waiting for it. The deployment goes on meanwhile.")

    def close(self) -> None:
        """Leave the last picture on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def facts(deployment: Deployment, api: ApiClient) -> list[tuple[str, str]]:
    """What there is to say, each under a key: a line is printed when the text of its key is new."""
    said = [("status", f"{title(deployment)}: {state(deployment)}")]
    for row in way_rows(deployment):
        if row.status in (StageStatus.PENDING, NOT_REACHED):
            continue
        percent = f" {row.percent} %" if row.percent is not None else ""
        said.append((f"stage {row.name}", f"{row.name}: {row.status}{percent}"))
        said += [
            (f"job {job_id}", f"{row.name}: job {job_id}, `{api.command(f'job logs -f {job_id}')}`")
            for job_id in row.job_ids
        ]
    for index, entry in enumerate(deployment.approvals):
        word = "approved" if entry.decision is Decision.APPROVE else "rejected"
        comment = f": {entry.comment}" if entry.comment else ""
        said.append((f"approval {index}", f"{entry.environment}: {word} by {entry.by}{comment}"))
    if deployment.waits_for is not None:
        said.append(("waits", f"waits for: {api.reachable(deployment.waits_for)}"))
    rollbacks = deployment.rollbacks if deployment.rollback is None else [*deployment.rollbacks, deployment.rollback]
    for index, rollback in enumerate(rollbacks):
        said.append((f"rollback {index}", f"rollback {rollback_words(rollback)}"))
        said += [
            (f"job {job_id}", f"rollback: job {job_id}, `{api.command(f'job logs -f {job_id}')}`")
            for job_id in rollback.job_ids
        ]
    return said


def picture(deployment: Deployment, api: ApiClient) -> "RenderableType":
    """All stages, and below them what it waits for with the command that moves it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("STAGE", "STATUS", "%", "APPROVALS", "BEFORE", "JOB"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", justify="right" if name == "%" else "left")
    for row in way_rows(deployment):
        job = row.job_ids[-1][:13] if row.job_ids else None
        more = f" (+{len(row.job_ids) - 1})" if len(row.job_ids) > 1 else ""
        cells = (row.name, row.status, row.percent, row.approvals, row.previous, f"{job}{more}" if job else None)
        table.add_row(*(styled(cell) for cell in cells))
    return Group(Text(_headline(deployment), style="bold"), table, *(Text(line) for line in _below(deployment, api)))


def _headline(deployment: Deployment) -> str:
    since = span(max((deployment.completed_at or now_ms()) - deployment.created_at, 0) / 1000)
    words = (
        f"{title(deployment)} @ {deployment.git_commit_sha[:10]} by {deployment.git_author}: {state(deployment)}"
        f" ({since})"
    )
    return clean(words)


def _below(deployment: Deployment, api: ApiClient) -> Sequence[str]:
    lines: list[str] = []
    if deployment.rollback is not None:
        lines.append(f"Rollback {rollback_words(deployment.rollback)}")
    if deployment.waits_for is not None:
        lines.append(f"Waits for: {api.reachable(deployment.waits_for)}")
    elif not settled(deployment):
        running = [row.job_ids[-1] for row in way_rows(deployment) if row.job_ids]
        jobs = deployment.rollback.job_ids if deployment.rollback is not None else running
        lines += [f"Its log: `{api.command(f'job logs -f {jobs[-1]}')}`"] if jobs else []
    return [clean(line) for line in lines]


def _view(api: ApiClient, *, stderr: bool) -> View:
    stream = sys.stderr if stderr else sys.stdout
    return LiveView(api, stderr) if stream.isatty() else PlainView(api, stderr)


def _tell_end(api: ApiClient, deployment: Deployment, *, as_json: bool) -> None:
    if as_json:
        record: Any = api.get(f"{DEPLOYMENTS}/{deployment.deployment_id}")
        print_json(record)
        return
    note(api.reachable(outcome(deployment)))
    failure = find_failure(deployment, api)
    if failure is not None and failure.job is not None:
        print_failure(deployment, failure, api, message=False)
    note(f"More: `{api.command(f'deploy show {deployment.deployment_id}')}`")
