"""The key with which an agent delivers for its attempt, so that nobody need ask Temporal whose it is. Pure.

Whoever was given the attempt has it, and nobody else: it comes with the attempt's task. The API makes a job's key from
the secret that it shares with the control worker, and the job's workflow each attempt's from that; so the API knows an
attempt's key without a record. It says of whom a log is that comes before its attempt was announced, and no more.
"""

import hashlib
from typing import Final

from workflows.contracts.identity.proofs import authentication_code, same_code

_JOB: Final = b"hybridci-delivery-v1\0"


def job_key(secret: bytes, job_id: str) -> str:
    """The key that a job is started with, in hexadecimal."""
    return authentication_code(secret, _JOB, job_id)


def attempt_key(key: str, attempt: int) -> str:
    """The key of one attempt of a job with this ``job_key``: it tells nothing of the next one's."""
    return hashlib.sha256(f"{key}\n{attempt}".encode()).hexdigest()


def is_attempt_key(secret: bytes, job_id: str, attempt: int, given: str) -> bool:
    """Whether it is this attempt's."""
    return same_code(attempt_key(job_key(secret, job_id), attempt), given)
