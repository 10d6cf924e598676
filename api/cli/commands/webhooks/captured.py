"""A captured request as people have it: a body, headers in a file or on the command line, or both in one JSON object.

All raise CliError. Deliberately not here: what it would do (``trying``).
"""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from api.cli.client.connection import USAGE, CliError

if TYPE_CHECKING:
    from api.webhooks.loading import Provider

_EVENT_HEADER: Final = 'headers."'


def captured_request(content: bytes) -> tuple[dict[str, str], bytes]:
    """A body, or a whole request: ``{"headers": {…}, "body": "…"}``."""
    try:
        found: Any = json.loads(content)
    except ValueError:
        return {}, content
    if not isinstance(found, dict) or set(cast(dict[str, Any], found)) != {"headers", "body"}:
        return {}, content
    fields = cast(dict[str, Any], found)
    if not isinstance(fields["headers"], dict) or not isinstance(fields["body"], str):
        return {}, content
    headers = cast(dict[str, Any], fields["headers"])
    return {name.lower(): str(value) for name, value in headers.items()}, fields["body"].encode()


def headers_of_file(path: Path | None) -> dict[str, str]:
    """``Name: value`` lines, as curl and tools show them; also a JSON object."""
    if path is None:
        return {}
    text = file_bytes(path, "--headers").decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise CliError(f"--headers {path} is no JSON: {error}", USAGE) from None
        return {name.lower(): str(value) for name, value in found.items()}
    return headers_of_options([line for line in text.splitlines() if line.strip() and not line.startswith("#")])


def headers_of_options(lines: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` or ``NAME: VALUE`` each, whichever sign comes first."""
    found: dict[str, str] = {}
    for line in lines:
        colon, equals = line.find(":"), line.find("=")
        at = equals if colon < 0 or 0 <= equals < colon else colon
        if at <= 0:
            raise CliError(f"The header {line!r} is neither NAME=VALUE nor 'NAME: VALUE'.", USAGE)
        found[line[:at].strip().lower()] = line[at + 1 :].strip()
    return found


def add_content_type(headers: dict[str, str], body: bytes) -> None:
    """A captured form looks like one; everything else is JSON."""
    form = not body.lstrip().startswith((b"{", b"[")) and b"=" in body
    headers.setdefault("content-type", "application/x-www-form-urlencoded" if form else "application/json")


def add_event(provider: "Provider", headers: dict[str, str], event: str) -> None:
    """Where the event is a header and nothing else, --event is that header."""
    name = header_of(provider.event.text)
    if name is not None:
        headers[name] = event


def add_delivery(provider: "Provider", headers: dict[str, str]) -> None:
    """A request of its own: without the captured id, it is a new delivery."""
    name = None if provider.delivery is None else header_of(provider.delivery.text)
    if name is not None:
        headers.setdefault(name, str(uuid.uuid4()))


def header_of(expression: str) -> str | None:
    """``headers."x-name"`` → ``x-name``."""
    quoted = expression.removeprefix(_EVENT_HEADER)
    return quoted[:-1] if quoted != expression and quoted.endswith('"') and quoted.count('"') == 1 else None


def file_bytes(path: Path, option: str) -> bytes:
    """What the file holds that ``option`` names."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CliError(f"{option} {path} cannot be read ({error.strerror}).", USAGE) from None
