"""Which certificates a stack's own gateway has, and making them when they are missing or for other names.

Light, for `up` stays small: the making itself is done by a child (``certificate_authority``), whose library is large.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.cli.private_file import write_private
from api.cli.stack.data_dir import CannotStart

_MAKE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in the data directory."""

    root: Path

    @property
    def authority(self) -> Path:
        """What agents trust. Made once, so that they go on trusting when the gateway gets another certificate."""
        return self.root / "gateway-ca.pem"

    @property
    def authority_key(self) -> Path:
        """Its key."""
        return self.root / "gateway-ca.key"

    @property
    def certificate(self) -> Path:
        """What the gateway shows."""
        return self.root / "gateway-tls.pem"

    @property
    def key(self) -> Path:
        """The key to it."""
        return self.root / "gateway-tls.key"

    @property
    def names(self) -> Path:
        """The names and addresses the certificate is for, one a line; written last."""
        return self.root / "gateway-tls.names"


def ensure_certificates(files: Certificates, names: Sequence[str]) -> None:
    """Make what is missing or was made for other names. Raises CannotStart."""
    wanted = "".join(f"{name}\n" for name in dict.fromkeys(names))
    try:
        if not _there(files, wanted):
            _make(files, wanted)
    except OSError as error:
        raise CannotStart(f"The gateway's certificates in {files.root} cannot be used ({error.strerror}).") from error


def _there(files: Certificates, wanted: str) -> bool:
    whole = all(path.exists() for path in (files.authority, files.authority_key, files.certificate, files.key))
    return whole and files.names.exists() and files.names.read_text(encoding="utf-8") == wanted


def _make(files: Certificates, wanted: str) -> None:
    command = [sys.executable, "-P", "-m", "api.cli.stack.certificate_authority", str(files.root), *wanted.split()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MAKE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotStart(f"Making the gateway's certificate took over {_MAKE_SECONDS:.0f} s: try again.") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CannotStart(f"The gateway's certificate cannot be made in {files.root}: {reason}")
    write_private(files.names, wanted)
