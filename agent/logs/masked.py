"""An attempt's log as its phases write it: the secrets are out before a byte reaches the spool's file.

Offsets and times in the log are those of what is written, masks included. Deliberately not here: what is a secret
(``secrets``), how it is found (``secrets.redact``), the file (``spool``).
"""

from agent.logs.spool import LogSpool
from agent.secrets.redact import Patterns, Redactor, mask_text


class MaskedLog:
    """Raises what the spool raises."""

    def __init__(self, spool: LogSpool) -> None:
        self._spool = spool
        self._patterns: Patterns | None = None
        self._redactor: Redactor | None = None

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._spool.size

    @property
    def sha256(self) -> str:
        """Of all bytes so far."""
        return self._spool.sha256

    @property
    def cut_off(self) -> str | None:
        """Why the log ends before its output does, in a sentence."""
        return self._spool.cut_off

    def mask(self, patterns: Patterns | None) -> None:
        """From here on these are masked."""
        self._patterns = patterns
        self._redactor = None if patterns is None else Redactor(patterns)

    def write(self, data: bytes) -> None:
        """Output. What may be the beginning of a secret waits for what follows, or for ``end_output``."""
        if self._redactor is not None:
            data = self._redactor.feed(data)
        if data:
            self._spool.write(data)

    def end_output(self) -> None:
        """The command that wrote has ended."""
        if self._redactor is not None and (rest := self._redactor.flush()):
            self._spool.write(rest)

    def line(self, text: str) -> None:
        """A line of the agent's own, before output that still waits."""
        self._spool.line(mask_text(self._patterns, text))

    def finish(self) -> None:
        """No more output."""
        try:
            self.end_output()
        finally:
            self._spool.finish()
