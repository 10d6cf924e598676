"""The data directory of `hybridci up`: one per stack, private to its user, locked while a stack runs on it.

    admin.key, agent.key   what callers show to the API; made once, kept
    gateway.key            what the gateway binds task tokens with, signing.key what the API signs leases with
    seal.key, seal.pub     what the worker signs the seals of the audit trail with, and what they are verified with
    seals.jsonl            copies of the seals, outside the store
    gateway-*.pem, .key    the gateway's certificates (``certificates``)
    endpoint.json          where this stack listens and under which process id, for the CLI
    lock, processes.json   who holds the directory, and the children to end if it was killed
    logs/                  one file per child
    temporal.db, aws/      the embedded servers' state
    agents/                each agent's workspaces and caches

Deliberately not here: reading it as a client (``client.connection``) and the children themselves (``leftovers``).
"""

import base64
import contextlib
import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from api.cli.client.own_folder import came_with_a_repository
from api.cli.private_file import write_private

_OURS: Final = "lock"
"""The file that every data directory has: what tells one from somebody's folder."""
_ALSO_OURS: Final = {"agent"}
"""Where `hybridci agent` alone keeps its state by default: it may have been there first."""


class CannotStart(Exception):
    """Nothing was started; the message says why and what to do next."""


@dataclass(frozen=True, slots=True)
class DataDir:
    """Absolute paths inside one data directory."""

    root: Path

    @property
    def logs(self) -> Path:
        """Folder of the children's logs."""
        return self.root / "logs"

    @property
    def admin_key(self) -> Path:
        """File with the key of the person who runs the stack."""
        return self.root / "admin.key"

    @property
    def agent_key(self) -> Path:
        """File with the key of the stack's agents."""
        return self.root / "agent.key"

    @property
    def gateway_key(self) -> Path:
        """File with the secret that binds task tokens to agents."""
        return self.root / "gateway.key"

    @property
    def signing_key(self) -> Path:
        """File with the secret that the API signs the leases of HTTP agents with."""
        return self.root / "signing.key"

    @property
    def seal_key(self) -> Path:
        """File with the private key of seals."""
        return self.root / "seal.key"

    @property
    def seal_public_keys(self) -> Path:
        """File with the public halves of the keys of seals."""
        return self.root / "seal.pub"

    @property
    def seals(self) -> Path:
        """File with copies of the seals."""
        return self.root / "seals.jsonl"

    @property
    def endpoint(self) -> Path:
        """File that tells the CLI where the stack listens."""
        return self.root / "endpoint.json"

    @property
    def processes(self) -> Path:
        """File with the running children."""
        return self.root / "processes.json"

    def agent(self, number: int) -> Path:
        """Folder of one agent's state."""
        return self.root / "agents" / str(number)


@contextlib.contextmanager
def opened(path: Path) -> Generator[DataDir]:
    """Create the directory if need be, lock it for the length of the context, and see to its keys.

    Raises CannotStart when it cannot be written, is somebody else's folder, or another stack runs on it.
    """
    data = DataDir(path.expanduser().absolute())
    try:
        _create(data.root)
        lock = os.open(data.root / _OURS, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(_unwritable(data.root, error)) from error
    try:
        _lock(lock, data)
        try:
            data.logs.mkdir(mode=0o700, exist_ok=True)
            for key in (data.admin_key, data.agent_key, data.gateway_key, data.signing_key):
                _ensure_key(key)
            _ensure_seal_keys(data)
        except OSError as error:
            raise CannotStart(_unwritable(data.root, error)) from error
        yield data
    finally:
        os.close(lock)  # releases the lock; children never inherit the descriptor


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Replace the file as a whole, readable by its user only. Raises OSError."""
    write_private(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The file's object; empty when there is no file or it holds none (a file of an older version, a full disk)."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return cast(dict[str, Any], content) if isinstance(content, dict) else {}


def _create(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = set(os.listdir(root))
    if names - _ALSO_OURS and _OURS not in names:
        raise CannotStart(
            f"{root} holds other files and is no data directory of hybridci: choose a new or empty folder with "
            "--data-dir, so that nothing of yours is mixed with it."
        )
    if _OURS in names:
        _require_made_here(root)
    root.chmod(0o700)


def _require_made_here(root: Path) -> None:
    """One that came with somebody's repository has keys that they know, and a Temporal that runs what they wrote."""
    if root.stat().st_mode & 0o066:
        raise CannotStart(
            f"{root} is open to others, as `hybridci up` leaves no data directory: it came with a repository or an "
            f"archive, whose author knows its keys. If it is yours, `chmod 700 {shlex.quote(str(root))}`; else choose "
            "another with --data-dir."
        )
    if came_with_a_repository(root):
        raise CannotStart(
            f"{root} is part of a repository of git, so whoever reads that knows its keys, and whoever wrote it says "
            "what runs here: choose another with --data-dir, or take it out of the repository."
        )


def _lock(descriptor: int, data: DataDir) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        known = read_json(data.endpoint)
        where = f" at {known['url']} (process {known.get('pid')})" if "url" in known else ""
        raise CannotStart(
            f"Another `hybridci up` already runs on {data.root}{where}: use that one, stop it, or start a second stack "
            "with another --data-dir and other ports."
        ) from None


def _ensure_key(path: Path) -> None:
    try:
        if path.read_text(encoding="utf-8").strip():
            path.chmod(0o600)
            return
    except FileNotFoundError:
        pass
    write_private(path, secrets.token_urlsafe(32) + "\n")


def _ensure_seal_keys(data: DataDir) -> None:
    """A key for seals, and its public half beside it; again when a newer key was put before it."""
    if not data.seal_key.exists():
        write_private(data.seal_key, base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    data.seal_key.chmod(0o600)
    made = data.seal_public_keys
    if made.exists() and made.stat().st_mtime_ns >= data.seal_key.stat().st_mtime_ns:
        return
    from nacl.signing import SigningKey  # only when there is something to do: it costs each start

    lines = (line.partition("#")[0].strip() for line in data.seal_key.read_text("utf-8").splitlines())
    try:
        keys = [bytes(SigningKey(base64.b64decode(line, validate=True)).verify_key) for line in lines if line]
    except ValueError:
        raise CannotStart(
            f"{data.seal_key} holds something that is no key of seals: 32 bytes in base64 a line. Take the file away to"
            " have a new one made; what was sealed before is then verified with the old public key."
        ) from None
    write_private(made, "".join(base64.b64encode(key).decode() + "\n" for key in keys))


def _unwritable(root: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    return (
        f"The data directory {root} cannot be used ({reason}: {error.filename or root}): choose a folder that you may "
        "write to with --data-dir, or set HYBRIDCI_DATA_DIR."
    )
