"""Watching a bulk redrive: the canaries, then the rest."""

import sys
import time
from typing import Any, Final

from api.cli.client.connection import INTERRUPTED, CliError
from api.cli.client.http import DEAD_LETTERS, ApiClient, Transient
from api.cli.client.progress import MovingLine
from api.cli.output import note, print_json, say
from workflows.contracts.commands import BulkRedriveProgress

_ENDED: Final = ("finished", "stopped")
_POLL_SECONDS: Final = 0.5
_GIVE_UP_SECONDS: Final = 600.0


def watch_redrive(api: ApiClient, redrive_id: str, *, as_json: bool) -> bool:
    """Show how far it is until it has ended. True when it finished and nothing was refused."""
    try:
        record = _until_ended(api, redrive_id)
    except KeyboardInterrupt:
        raise CliError(
            "Detached: the redrive goes on. See `hybridci dlq list` for what is left.", INTERRUPTED
        ) from None
    progress = BulkRedriveProgress.model_validate(record)
    if as_json:
        print_json(record)
    else:
        for job_id, reason in progress.refused.items():
            note(f"{job_id}: {reason}")
        say(_sentence(progress))
    return progress.state == "finished" and not progress.refused


def _until_ended(api: ApiClient, redrive_id: str) -> Any:
    line = MovingLine() if sys.stderr.isatty() else None
    shown = ""
    failing_since: float | None = None
    try:
        while True:
            try:
                record: Any = api.get(f"{DEAD_LETTERS}/redrives/{redrive_id}")
            except Transient:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > _GIVE_UP_SECONDS:
                    raise
            else:
                failing_since = None
                progress = BulkRedriveProgress.model_validate(record)
                if progress.state in _ENDED:
                    return record
                text = _sentence(progress)
                if text != shown:
                    shown = text
                    (line.show if line else note)(text)
            time.sleep(_POLL_SECONDS)
    finally:
        if line:
            line.clear()


def _sentence(progress: BulkRedriveProgress) -> str:
    refused = f", {len(progress.refused)} refused" if progress.refused else ""
    canaries = ", ".join(f"{job_id[:8]} {status}" for job_id, status in progress.canaries.items())
    return (
        f"{progress.state.capitalize()}: {len(progress.redriven)} of {progress.matched} redriven{refused}"
        f"{f'; canaries: {canaries}' if canaries else ''}. {progress.message}"
    )
