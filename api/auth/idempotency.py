"""Idempotency keys: the same key and request is the same job, the same key with another request is a conflict.

The job's id is derived from the caller and the key, so Temporal itself refuses a second start; the record, which
outlives the workflow's retention, answers later repetitions.
"""

import hashlib
import json
from typing import Annotated, Final

from fastapi import Header
from pydantic import BaseModel

from api.auth.principal import Principal
from workflows.contracts.errors import Conflict
from workflows.contracts.ids import job_id_for_key, new_job_id

REPLAY_HEADER: Final = "Idempotent-Replay"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[ -~]*$",
        description="1 to 255 printable ASCII characters: repeating the request with the same key is safe.",
    ),
]


def id_for(principal: Principal, key: str | None, *, part: int | None = None) -> str:
    """The id of what a request creates; random without a key. ``part`` counts the things one request creates."""
    if key is None:
        return new_job_id()
    # A key holds no line end, so that a part can never meet another caller's key.
    return job_id_for_key(principal.scope, key if part is None else f"{key}\n{part}")


def update_id_for(principal: Principal, key: str | None, command: BaseModel) -> str | None:
    """The id under which a workflow does a command once, however often it is sent; None without a key.

    It follows from the command too: a key stands for one request. Whence it came may differ from try to try.
    """
    if key is None:
        return None
    whence = {"via": "", "address": None, "role": None, "key_id": None}
    digest = fingerprint(type(command).__name__, command.model_copy(update=whence))
    return job_id_for_key(principal.scope, f"{key}\n{digest}")


def fingerprint(operation: str, request: BaseModel) -> str:
    """A digest of what was asked, the same for every way of writing the same JSON."""
    canonical = json.dumps(request.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{operation}\n{canonical}".encode("utf-8", "surrogatepass")).hexdigest()


def require_same(found: str | None, expected: str | None, *, what: str) -> None:
    """Raises Conflict when ``what`` (a job or a redrive and its id) was created by another request."""
    if expected is not None and found != expected:
        raise Conflict(f"This Idempotency-Key was used with another request ({what}); use a new key for a new one.")
