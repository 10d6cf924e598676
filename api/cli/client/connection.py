"""Where the API is and with which key: an option, the environment, a context, the data directory of `hybridci up`.

The order is: `--data-dir`, then `--context` (or `HYBRIDCI_CONTEXT`), then `HYBRIDCI_URL` with `HYBRIDCI_API_KEY` (or
`HYBRIDCI_API_KEY_FILE`), then `HYBRIDCI_DATA_DIR`, then the context in use (`contexts`), then `.hybridci` in the
current folder or the nearest one above it, the way git finds `.git`. A local key is never sent to a URL that came from
the environment, and a context's URL gets its own key only.

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

from api.cli.client.contexts import Contexts, SavedApi, UnusableContexts
from api.cli.client.own_folder import came_with_a_repository, foreign_part

REFUSED: Final = 1
"""The API understood and said no, or what was waited for did not succeed."""
USAGE: Final = 2
"""Bad arguments, no server, no key, wrong key."""
TIMED_OUT: Final = 124
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

DATA_DIR: Final = ".hybridci"
CONTEXT_VARIABLE: Final = "HYBRIDCI_CONTEXT"
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

    ``options`` and ``arguments`` are what a suggested command needs, in front and behind, to reach the same API.
    ``source`` says where it was found, ``context`` is the name of the context that it is of.
    ``folder`` is the data directory that it was found by.
    ``temporal_ui`` is the address of Temporal's Web UI, known for a stack that `hybridci up` runs on this machine.
    """

    url: str
    key: str
    arguments: str = ""
    temporal_ui: str | None = None
    folder: Path | None = None
    source: str = ""
    context: str | None = None
    options: str = ""

    @property
    def local(self) -> bool:
        """True when the API runs on this machine."""
        return urlsplit(self.url).hostname in _LOOPBACK


def find_connection(
    data_dir: Path | None = None, *, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> ApiConnection:
    """The API to speak to. Raises CliError with exit code 2 when there is none or its key is missing."""
    env = os.environ if environ is None else environ
    if data_dir is None and env.get(CONTEXT_VARIABLE):
        return _of_context(_named(env[CONTEXT_VARIABLE], env), env, named=True)
    if data_dir is None and env.get("HYBRIDCI_URL"):
        key = _environment_key(env)
        if key is None:
            raise CliError(
                "HYBRIDCI_URL is set but HYBRIDCI_API_KEY is not: set it to your API key, or unset HYBRIDCI_URL to use "
                "the local data directory.",
                USAGE,
            )
        return ApiConnection(_checked_url(env["HYBRIDCI_URL"], "HYBRIDCI_URL"), key, source="HYBRIDCI_URL")
    if data_dir is None and (used := _in_use(env)) is not None:
        return _of_context(used, env)
    folder = _folder(data_dir, env, cwd or Path.cwd())
    key = _environment_key(env) if data_dir is None else None
    arguments = "" if data_dir is None else f" --data-dir {shlex.quote(str(data_dir))}"
    url, temporal_ui = _endpoint(folder)
    key = key or _key_file(folder / "admin.key")
    return ApiConnection(url, key, arguments, temporal_ui, folder, source=str(folder))


def find_keyless_connection(data_dir: Path | None = None) -> ApiConnection:
    """The API to speak to before there is a key. Raises CliError with exit code 2 when there is none."""
    env = os.environ
    if data_dir is None and env.get(CONTEXT_VARIABLE):
        context = _named(env[CONTEXT_VARIABLE], env)
        return ApiConnection(context.url, "", context=context.name, options=_option(context))
    if data_dir is None and env.get("HYBRIDCI_URL"):
        return ApiConnection(_checked_url(env["HYBRIDCI_URL"], "HYBRIDCI_URL"), "")
    if data_dir is None and (used := _in_use(env)) is not None:
        return ApiConnection(used.url, "", context=used.name)
    url, temporal_ui = _endpoint(_folder(data_dir, env, Path.cwd()))
    return ApiConnection(url, "", "" if data_dir is None else f" --data-dir {shlex.quote(str(data_dir))}", temporal_ui)


def checked_url(text: str, source: str) -> str:
    """An http:// or https:// URL without a slash at its end. Raises CliError."""
    return _checked_url(text, source)


def checked_key(text: str, source: str) -> str:
    """One word. Raises CliError, which does not show it."""
    return _checked_key(text, source)


def data_folder(cwd: Path) -> Path | None:
    """The data directory that is here or above, None for none."""
    return next((parent / DATA_DIR for parent in (cwd, *cwd.parents) if (parent / DATA_DIR).is_dir()), None)


def _in_use(env: Mapping[str, str]) -> SavedApi | None:
    """The context in use, unless the environment names a folder."""
    return None if env.get("HYBRIDCI_DATA_DIR") else _contexts(env).current


def _named(name: str, env: Mapping[str, str]) -> SavedApi:
    contexts = _contexts(env)
    if name not in contexts.known:
        there = f"there are {', '.join(sorted(contexts.known))}" if contexts.known else "there is none"
        raise CliError(f"There is no context {name!r}; {there}. `hybridci login` adds one.", USAGE)
    return contexts.known[name]


def _of_context(context: SavedApi, env: Mapping[str, str], *, named: bool = False) -> ApiConnection:
    path = _contexts(env).key_path(context.name)
    try:
        key = _checked_key(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(
            f"The key of the context {context.name} cannot be read from {path} "
            f"({getattr(error, 'strerror', None) or 'it is not UTF-8'}). Sign in anew: `hybridci login {context.url} "
            f"--name {context.name}`.",
            USAGE,
        ) from None
    url = _checked_url(context.url, f"The URL of the context {context.name}")
    options = _option(context) if named else ""
    return ApiConnection(url, key, source=f"context {context.name}", context=context.name, options=options)


def _option(context: SavedApi) -> str:
    return f"--context {shlex.quote(context.name)} "


def _contexts(env: Mapping[str, str]) -> Contexts:
    try:
        return Contexts.read(env)
    except UnusableContexts as error:
        raise CliError(str(error), USAGE) from None


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
    if (found := data_folder(cwd)) is not None:
        _require_own(found)
        return found
    raise CliError(
        f"No hybridci was found: there is no {DATA_DIR} folder here or above. Start one with `hybridci up`, name its "
        "folder with --data-dir, sign in elsewhere with `hybridci login URL`, or set HYBRIDCI_URL and "
        "HYBRIDCI_API_KEY.",
        USAGE,
    )


def _require_own(folder: Path) -> None:
    """A folder that was found, not named, may be part of a repository that somebody else wrote. Raises CliError."""
    named = f" If it is yours, name its folder: --data-dir {shlex.quote(str(folder))}."
    if (part := foreign_part(folder)) is not None:
        raise CliError(
            f"{part} is not as `hybridci up` makes it (yours alone, no link), so nothing is sent where it says.{named}",
            USAGE,
        )
    if came_with_a_repository(folder):
        raise CliError(f"{folder} came with a repository of git, so nothing is sent where it says.{named}", USAGE)


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
