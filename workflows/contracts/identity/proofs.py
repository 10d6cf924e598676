"""The API's word for what it sends to workflows: whoever else may write to Temporal can send the same without it. Pure.

A proof is a message authentication code (HMAC-SHA-256, hexadecimal) with a secret that the API and the control worker
share and Temporal does not have, behind the time at which it was made: ``1795985350801-36d4…``. It is good for a few
minutes, so that what can be read in a history is no key to say it again. No workflow has the secret: a workflow hands
on what was claimed and when it heard it, and the activity that writes it down looks at the proof.

Deliberately not here: what follows without one (``activities.events.witness``). Times: epoch ms.
"""

import hashlib
import hmac
import json
import re
from typing import Final, Self

from pydantic import BaseModel, Field

from workflows.contracts.base import Tolerant
from workflows.contracts.fields import Millis

GOOD_FOR_MS: Final = 5 * 60_000
"""Between the API's clock when it sends and Temporal's when the workflow hears it; the clocks may differ by as much."""
_MESSAGE: Final = b"hybridci-message-v1\0"
_PROOF: Final = re.compile(r"([0-9]{1,15})-([0-9a-f]{64})", re.ASCII)
_LONGEST: Final = 80


class Claim(Tolerant):
    """That the API sent a message: which one (its digest, SHA-256 in hexadecimal), the proof that came with it, and
    when its workflow heard it.
    """

    digest: str
    proof: str = ""
    heard_at: Millis | None = None

    def is_genuine(self, secret: bytes, workflow_id: str) -> bool:
        """True when the API has sent exactly this to this workflow, shortly before it was heard."""
        parts = _PROOF.fullmatch(self.proof)
        if parts is None or self.heard_at is None or abs(self.heard_at - int(parts[1])) > GOOD_FOR_MS:
            return False
        return same_code(self._mac(secret, workflow_id, int(parts[1])), parts[2])

    def proven(self, secret: bytes, workflow_id: str, now: int) -> "Claim":
        """With its proof, as sent now."""
        return self.model_copy(update={"proof": f"{now}-{self._mac(secret, workflow_id, now)}"})

    def _mac(self, secret: bytes, workflow_id: str, sent_at: int) -> str:
        return authentication_code(secret, _MESSAGE, workflow_id, str(sent_at), self.digest)


class Provable(BaseModel):
    """What the API proves to have sent. ``proof`` is empty on what others send, and of versions that had none.

    ``heard_at``: when its workflow heard it, set by that as it hands the message on, whatever a sender says of it.
    """

    proof: str = Field(default="", max_length=_LONGEST, exclude_if=lambda proof: not proof)
    heard_at: Millis | None = Field(default=None, exclude_if=lambda heard_at: heard_at is None)

    def proven(self, secret: bytes, workflow_id: str, now: int) -> Self:
        """With the proof that it is the API that sends it to this workflow, now."""
        return self.model_copy(update={"proof": self.claim().proven(secret, workflow_id, now).proof})

    def heard(self, at: int) -> Self:
        """As a workflow hands it on."""
        return self.model_copy(update={"heard_at": at})

    def claim(self) -> Claim:
        """What it says and whose word that would be. What has its default does not count, so that a version with
        further fields finds the same.
        """
        said = self.model_dump(mode="json", exclude={"proof", "heard_at"}, exclude_defaults=True)
        text = f"{type(self).__name__}\n{json.dumps(said, sort_keys=True, separators=(',', ':'))}"
        return Claim(digest=hashlib.sha256(text.encode()).hexdigest(), proof=self.proof, heard_at=self.heard_at)


def same_code(right: str, given: str) -> bool:
    """Whether they are the same, in a time that does not tell how much of it is; ``given`` may be any text."""
    return hmac.compare_digest(right.encode(), given.encode("utf-8", "surrogatepass"))


def authentication_code(secret: bytes, context: bytes, *parts: str) -> str:
    """HMAC-SHA-256 of the parts, a line each, in hexadecimal. ``context`` separates the uses of one secret."""
    key = hashlib.sha256(context + secret).digest()
    return hmac.digest(key, "\n".join(parts).encode(), "sha256").hex()
