"""`hybridci audit verify`, `report`, `keygen`: whether the trail is what it was, and what it says of a service.

Exit codes: see ``common``; of `verify` 0 nothing was found, 1 something was, 2 it could not be verified.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from api.cli.client.connection import REFUSED, USAGE, CliError
from api.cli.client.http import ApiClient
from api.cli.commands.audit import app
from api.cli.commands.common import AsJson, DataDir, example, open_api
from api.cli.commands.seal_copies import SealCopies, compare_seals
from api.cli.output import clock, note, say
from api.wording import counted
from workflows.contracts.audit.verification import (
    Finding,
    FindingKind,
    FoundIn,
    RemovedEvents,
    VerificationLine,
    VerificationSummary,
)

__all__ = ["app"]
_VERIFY: Final = "/api/audit/verify"
_REPORT: Final = "/api/audit/report"
_SILENCE_SECONDS: Final = 600.0
_PARTS: Final = {"seals": "seals", "events": "sealed events", "copies": "copies in lists"}


class ReportFormat(StrEnum):
    """The forms of a report."""

    MD = "md"
    HTML = "html"
    JSON = "json"


@app.command(
    epilog=example("hybridci audit verify", "hybridci audit verify --seals seals.jsonl --key seal.pub")
    + "\n\nExit codes: 0 nothing was found · 1 something was · 2 it could not be verified"
)
def verify(
    seals: Annotated[
        Path | None, typer.Option("--seals", metavar="FILE", help="A copy of the seals that was kept elsewhere.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The public keys that you believe, one a line.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Look whether the audit trail is what it was: what was changed, taken, put there, or removed by policy."""
    from api.cli.keys.seal_keys import public_keys

    keys = None if key is None else public_keys(key)
    with open_api(data_dir) as api:
        copies = _copies(api, seals)
        found = Counter[str]()
        summary = _verified(api, found, as_json=as_json)
        for wrong in compare_seals(api, copies, keys) if copies is not None or keys is not None else ():
            found["seal"] += 1
            finding = Finding(kind=FindingKind.SEAL, found_in=FoundIn.SEALS, message=wrong)
            _tell_finding(finding, as_json=as_json)
        summary = summary.model_copy(update={"clean": not found, "findings": dict(found)})
        if as_json:
            say(VerificationLine(summary=summary).model_dump_json(exclude_none=True))
        else:
            _tell_summary(summary, found, keys)
    if found:
        raise typer.Exit(REFUSED)


@app.command(
    epilog=example(
        "hybridci audit report --service checkout --from 2026-10-01 --to 2026-12-31 --format html --output q4.html"
    )
)
def report(
    service: Annotated[str, typer.Option("--service", help="Of which service.")],
    begins: Annotated[str, typer.Option("--from", metavar="TIME", help="2026-10-01 (UTC), 2026-10-01T09:00+02:00.")],
    ends: Annotated[str, typer.Option("--to", metavar="TIME", help="The same; a day is included as a whole.")],
    form: Annotated[ReportFormat, typer.Option("--format", help="Markdown, one HTML page, or JSON.")] = ReportFormat.MD,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Default: stdout.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Report what was deployed of a service: by whom, approved by whom, with which checks and exceptions."""
    params = {"service": service, "from": begins, "to": ends, "format": form.value}
    with open_api(data_dir) as api, api.stream(_REPORT, params, silence_seconds=_SILENCE_SECONDS) as pieces:
        content = b"".join(pieces)
    if output is None:
        sys.stdout.write(content.decode())
        sys.stdout.write("" if content.endswith(b"\n") else "\n")
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise CliError(f"{output} cannot be written ({error.strerror}): choose another file.") from None
    note(f"The report is in {output}.")


@app.command(epilog=example("hybridci audit keygen --out seal.key"))
def keygen(
    out: Annotated[Path, typer.Option(help="The file; a key that is there stays below the new one. Mode 0600.")],
) -> None:
    """Make a key for seals: its file is the control workers' HYBRIDCI_SEAL_KEY_FILE."""
    from api.cli.keys.approval_signing import new_approver_key
    from api.cli.keys.key_file import put_first

    private, public = new_approver_key()  # the same kind: Ed25519
    put_first(out, private)
    say(public)
    note(
        f"{out} is the private key, for control workers only. Above: the public key, for the file of"
        " HYBRIDCI_SEAL_PUBLIC_KEYS_FILE at the API and for everybody who verifies; keep earlier ones in it."
    )


def _copies(api: ApiClient, seals: Path | None) -> SealCopies | None:
    """The copy that was named, or the one that `hybridci up` keeps beside its store. Raises CliError."""
    if seals is None:
        folder = api.connection.folder
        own = None if folder is None else folder / "seals.jsonl"
        if own is None or not own.is_file() or not own.stat().st_size:
            return None
        note(f"Compared with the copy of the seals in {own}.")
        seals = own
    return SealCopies(seals)


def _verified(api: ApiClient, found: Counter[str], *, as_json: bool) -> VerificationSummary:
    """What the API finds. Raises CliError when it could not go on."""
    progress = _Progress(silent=as_json)
    for line in _lines(api):
        if line.failed is not None:
            raise CliError(f"The trail could not be verified to its end: {line.failed} Try again.", USAGE)
        if line.progress is not None:
            progress.tell(line.progress.part, line.progress.done, line.progress.of)
        if line.finding is not None:
            found[line.finding.kind.value] += 1
            _tell_finding(line.finding, as_json=as_json)
        if line.removed is not None:
            _tell_removed(line.removed, as_json=as_json)
        if line.summary is not None:
            return line.summary
    raise CliError("The connection broke before the verification was at its end. Try again.", USAGE)


def _lines(api: ApiClient) -> Iterator[VerificationLine]:
    rest = b""
    with api.stream(_VERIFY, silence_seconds=_SILENCE_SECONDS) as pieces:
        for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in filter(None, lines):
                yield VerificationLine.model_validate_json(line)


class _Progress:
    """One line on stderr for each part, and again whenever ten thousand more are done."""

    def __init__(self, *, silent: bool) -> None:
        self._silent, self._told = silent, ("", 0)

    def tell(self, part: str, done: int, of: int | None) -> None:
        before, last = self._told
        if self._silent or (part == before and done - last < 10_000):
            return
        self._told = (part, done)
        whole = "" if of is None else f" of {of:,}"
        note(f"… {done:,}{whole} {_PARTS.get(part, part)}")


def _tell_finding(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        say(VerificationLine(finding=finding).model_dump_json(exclude_none=True))
        return
    about = [finding.type or "", finding.subject or "", clock(finding.at) or ""]
    about += [f"in list {finding.list_name}"] if finding.list_name else []
    about += [f"id {finding.event_id}"] if finding.event_id else []
    about += [f"sealed by seal {finding.seal}"] if finding.seal and finding.found_in is not FoundIn.SEALS else []
    told = ", ".join(filter(None, about))
    say(f"{finding.kind.upper()}: {finding.message}{f' [{told}]' if told else ''}")


def _tell_removed(removed: RemovedEvents, *, as_json: bool) -> None:
    if as_json:
        say(json.dumps({"removed": removed.model_dump(mode="json")}))
        return
    standing = f"; {removed.standing} of them still stand, the next sweep takes them" if removed.standing else ""
    say(
        f"Removed by policy: events {removed.first} to {removed.last} of shard {removed.shard}, of"
        f" {clock(removed.oldest)} to {clock(removed.newest)}, as seal {removed.record} says"
        f" ({removed.because}){standing}."
    )


def _tell_summary(summary: VerificationSummary, found: Counter[str], keys: Mapping[str, str] | None) -> None:
    say(
        f"{counted(summary.seals, 'seal')};"
        f" {counted(summary.sealed, 'event that is sealed', 'events that are sealed')},"
        f" {summary.removed:,} removed by policy, {summary.unsealed:,} not sealed yet;"
        f" {counted(summary.not_covered, 'copy', 'copies')} of before the first seal, no number."
    )
    if summary.known_until is not None:
        say(
            f"It is known until {clock(summary.known_until)} (seal {summary.last_seal}). What was kept later can have"
            " been changed unnoticed, until it is sealed."
        )
    for remark in summary.remarks:
        if not (keys is not None and "keys that the seals name" in remark):
            say(remark)
    say(f"Signed with {', '.join(summary.keys) or 'no key'}.")
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
    say(f"Found: {told}." if found else "Nothing was changed, taken or put there.")
