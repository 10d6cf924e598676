"""The API's word for what it sends to workflows: whoever else may write to Temporal can send the same without it. Pure.

A proof is a message authentication code (HMAC-SHA-256, hexadecimal) with a secret that the API and the control worker
share and Temporal does not have. No workflow has it either: a workflow hands on what was claimed, and the activity that
writes it down looks at the proof. Deliberately not here: what follows without one (``activities.events.witness``).
"""

import hashlib
import hmac
import json
from typing import Final, Self

from pydantic import BaseModel, Field

from workflows.contracts.base import Tolerant

_MESSAGE: Final = b"hybridci-message-v1\0"


class Claim(Tolerant):
    """That the API sent a message: which one (its digest, SHA-256 in hexadecimal), and the proof that came with it."""

    digest: str
    proof: str = ""

    def is_genuine(self, secret: bytes, workflow_id: str) -> bool:
        """True when the API has sent exactly this to this workflow."""
        return same_code(self._mac(secret, workflow_id), self.proof)

    def proven(self, secret: bytes, workflow_id: str) -> "Claim":
        """With its proof."""
        return self.model_copy(update={"proof": self._mac(secret, workflow_id)})

    def _mac(self, secret: bytes, workflow_id: str) -> str:
        return authentication_code(secret, _MESSAGE, workflow_id, self.digest)


class Provable(BaseModel):
    """What the API proves to have sent. ``proof`` is empty on what others send, and of versions that had none."""

    proof: str = Field(default="", max_length=64, exclude_if=lambda proof: not proof)

    def proven(self, secret: bytes, workflow_id: str) -> Self:
        """With the proof that it is the API that sends it to this workflow."""
        return self.model_copy(update={"proof": self.claim().proven(secret, workflow_id).proof})

    def claim(self) -> Claim:
        """What it says and whose word that would be. What has its default does not count, so that a version with
        further fields finds the same.
        """
        said = self.model_dump(mode="json", exclude={"proof"}, exclude_defaults=True)
        text = f"{type(self).__name__}\n{json.dumps(said, sort_keys=True, separators=(',', ':'))}"
        return Claim(digest=hashlib.sha256(text.encode()).hexdigest(), proof=self.proof)


def same_code(right: str, given: str) -> bool:
    """Whether they are the same, in a time that does not tell how much of it is; ``given`` may be any text."""
    return hmac.compare_digest(right.encode(), given.encode("utf-8", "surrogatepass"))


def authentication_code(secret: bytes, context: bytes, *parts: str) -> str:
    """HMAC-SHA-256 of the parts, a line each, in hexadecimal. ``context`` separates the uses of one secret."""
    key = hashlib.sha256(context + secret).digest()
    return hmac.digest(key, "\n".join(parts).encode(), "sha256").hex()
