"""The secrets of webhooks: ``HYBRIDCI_WEBHOOK_SECRET_<PROVIDER>``, or the same with ``_FILE`` and a file's name.

Several secrets, with white space between them, are all good: the old and the new one while a secret is being changed.
A file is read again when it has changed, so that a new secret needs no restart.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_PREFIX: Final = "HYBRIDCI_WEBHOOK_SECRET_"


def secret_variable(provider: str) -> str:
    """The variable that holds a provider's secret."""
    return f"{_PREFIX}{provider.upper().replace('-', '_')}"


class WebhookSecrets:
    """The secrets that an environment names."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._values = {name: value for name, value in environ.items() if name.startswith(_PREFIX) and value.strip()}
        self._read: dict[str, tuple[tuple[int, int], list[str]]] = {}

    def of(self, provider: str) -> Sequence[str]:
        """A provider's secrets; none when it is not configured or its file cannot be read (which is logged)."""
        variable = secret_variable(provider)
        if variable in self._values:
            return self._values[variable].split()
        file = self._values.get(f"{variable}_FILE")
        return [] if file is None else self._of_file(Path(file), f"{variable}_FILE")

    def all(self) -> Sequence[str]:
        """Every secret that is known here, whosever it is."""
        names = {name.removeprefix(_PREFIX).removesuffix("_FILE") for name in self._values}
        return [secret for name in sorted(names) for secret in self.of(name.lower().replace("_", "-"))]

    def _of_file(self, path: Path, variable: str) -> list[str]:
        try:
            status = path.stat()
            version = (status.st_mtime_ns, status.st_size)
            known = self._read.get(variable)
            if known is None or known[0] != version:
                known = version, path.read_text("utf-8").split()
                self._read[variable] = known
        except (OSError, UnicodeDecodeError) as error:
            logger.warning("secret cannot be read", extra={"variable": variable, "reason": str(error)})
            return []
        return known[1]
