"""Whether a log that is read from its beginning is the one that its agent sent: by length and digest.

What an agent says of its log stands in the attempt's result, and with each chunk: the digest of all bytes up to its
end. So the place up to which it is the same is known too. Agents of before say nothing of it.
Deliberately not here: how a reader is told (``stream``).
"""

from dataclasses import dataclass, field

from activities.stores.interfaces.logs import LogChunk
from workflows.contracts.jobs import Attempt
from workflows.contracts.running_digest import RunningDigest


@dataclass(slots=True)
class LogVerification:
    """Of one attempt's log: ``take`` its chunks from byte 0 on, in order."""

    size: int = 0
    same_up_to: int = 0
    differs: bool = False
    _digest: RunningDigest = field(default_factory=RunningDigest)

    def take(self, chunk: LogChunk) -> None:
        """The next bytes."""
        self._digest.update(chunk.data)
        self.size = chunk.end
        if chunk.sha256 is None or self.differs:
            return
        if self._digest.hexdigest() == chunk.sha256:
            self.same_up_to = chunk.end
        else:
            self.differs = True

    def fault(self, attempt: Attempt | None, *, complete: bool) -> str | None:
        """In what the log is not the one that the agent sent, in words; None: in nothing that is known.

        A log that is not complete is not compared with the result: the rest is missing, or still to come.
        """
        reported = attempt is not None and attempt.log_sha256 is not None and attempt.outcome is not None and complete
        if reported and attempt is not None and self._digest.hexdigest() != attempt.log_sha256:
            said = f"the agent sent {attempt.log_bytes or 0} bytes with the digest {attempt.log_sha256}, and stored are"
            return f"{said} {self.size} with {self._digest.hexdigest()}; {self._same()}"
        if self.differs and not reported:
            return f"what is stored has another digest than what the agent sent; {self._same()}"
        return None

    def _same(self) -> str:
        return f"up to byte {self.same_up_to} it is what was sent"
