"""The error body, for the documentation; ``api.http.errors`` writes it."""

from workflows.contracts.base import Tolerant
from workflows.contracts.errors import FieldError


class Problem(Tolerant):
    """RFC 9457. ``code`` is for programs, ``detail`` for people, ``errors`` names every bad field."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError]
    instance: str
    request_id: str
