"""Where the API is and with which key: from the environment, else from the data directory that `hybridci up` writes.

The order is: `--data-dir`, then `HYBRIDCI_URL` with `HYBRIDCI_API_KEY` (or `HYBRIDCI_API_KEY_FILE`), then
`HYBRIDCI_DATA_DIR`, then `.hybridci` in the current folder or the nearest one above it, the way git finds `.git`.
A local key is never sent to a URL that came from the environment.

Exit codes of all commands that speak to the API are the constants below.
"""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

REFUSED: Final = 1
"""The API understood and said no, or what was waited for did not succeed."""
USAGE: Final = 2
"""Bad arguments, no server, no key, wrong key."""
TIMED_OUT: Final = 124
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

DATA_DIR: Final = ".hybridci"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class CliError(Exception):
    """What the person at the keyboard is told: what happened, why, what to do next. Ends with ``exit_code``."""

    def __init__(self, message: str, exit_code: int = REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class ApiConnection:
    """An API and the key for it, empty before there is one.

    ``arguments`` is what a suggested command needs to reach the same API.
    ``folder`` is the data directory that it was found by.
    ``temporal_ui`` is the address of Temporal's Web UI, known for a stack that `hybridci up` runs on this machine.
    """

    url: str
    key: str
    arguments: str = ""
    temporal_ui: str | None = None
    folder: Path | None = None

    @property
    def local(self) -> bool:
        """True when the API runs on this machine."""
        return urlsplit(self.url).hostname in _LOOPBACK


def find_connection(
    data_dir: Path | None = None, *, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> ApiConnection:
    """The API to speak to. Raises CliError with exit code 2 when there is none or its key is missing."""
    env = os.environ if environ is None else environ
    if data_dir is None and env.get("HYBRIDCI_URL"):
        key = _environment_key(env)
        if key is None:
            raise CliError(
                "HYBRIDCI_URL is set but HYBRIDCI_API_KEY is not: set it to your API key, or unset HYBRIDCI_URL to use "
                "the local data directory.",
                USAGE,
            )
        return ApiConnection(_checked_url(env["HYBRIDCI_URL"], "HYBRIDCI_URL"), key)
    folder = _folder(data_dir, env, cwd or Path.cwd())
    key = _environment_key(env) if data_dir is None else None
    arguments = "" if data_dir is None else f" --data-dir {shlex.quote(str(data_dir))}"
    url, temporal_ui = _endpoint(folder)
    return ApiConnection(url, key or _key_file(folder / "admin.key"), arguments, temporal_ui, folder)


def find_keyless_connection(data_dir: Path | None = None) -> ApiConnection:
    """The API to speak to before there is a key. Raises CliError with exit code 2 when there is none."""
    if data_dir is None and os.environ.get("HYBRIDCI_URL"):
        return ApiConnection(_checked_url(os.environ["HYBRIDCI_URL"], "HYBRIDCI_URL"), "")
    url, temporal_ui = _endpoint(_folder(data_dir, os.environ, Path.cwd()))
    return ApiConnection(url, "", "" if data_dir is None else f" --data-dir {shlex.quote(str(data_dir))}", temporal_ui)


def _environment_key(env: Mapping[str, str]) -> str | None:
    if env.get("HYBRIDCI_API_KEY"):
        return _checked_key(env["HYBRIDCI_API_KEY"], "HYBRIDCI_API_KEY")
    if env.get("HYBRIDCI_API_KEY_FILE"):
        return _key_file(Path(env["HYBRIDCI_API_KEY_FILE"]))
    return None


def _folder(data_dir: Path | None, env: Mapping[str, str], cwd: Path) -> Path:
    if data_dir is not None:
        return data_dir
    if env.get("HYBRIDCI_DATA_DIR"):
        return Path(env["HYBRIDCI_DATA_DIR"])
    for parent in (cwd, *cwd.parents):
        if (parent / DATA_DIR).is_dir():
            return parent / DATA_DIR
    raise CliError(
        f"No hybridci was found: there is no {DATA_DIR} folder here or above. Start one with `hybridci up`, name its "
        "folder with --data-dir, or set HYBRIDCI_URL and HYBRIDCI_API_KEY.",
        USAGE,
    )


def _endpoint(folder: Path) -> tuple[str, str | None]:
    path = folder / "endpoint.json"
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CliError(
            f"{path} does not exist: no hybridci has been started with this data directory. Start it with "
            f"`hybridci up --data-dir {shlex.quote(str(folder))}`.",
            USAGE,
        ) from None
    except (OSError, ValueError) as error:
        raise CliError(f"{path} cannot be read ({error}). Restart `hybridci up` to have it rewritten.", USAGE) from None
    fields = cast(dict[str, Any], content) if isinstance(content, dict) else {}
    if not isinstance(fields.get("url"), str):
        raise CliError(f"{path} names no url. Restart `hybridci up` to have it rewritten.", USAGE)
    temporal_ui: Any = fields.get("temporal_ui")
    return _checked_url(fields["url"], str(path)), temporal_ui if isinstance(temporal_ui, str) else None


def _key_file(path: Path) -> str:
    try:
        return _checked_key(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(
            f"The API key cannot be read from {path} ({getattr(error, 'strerror', None) or error}). `hybridci up` "
            "writes it for the user who runs it; or set HYBRIDCI_API_KEY.",
            USAGE,
        ) from None


def _checked_key(text: str, source: str) -> str:
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise CliError(f"{source} holds no API key (one word of printable ASCII). Set it to your key.", USAGE)
    return key


def _checked_url(text: str, source: str) -> str:
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise CliError(f"{source} is {text!r}, which is no http:// or https:// URL. Correct it.", USAGE)
    return url
