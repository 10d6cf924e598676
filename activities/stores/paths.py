"""Which artifact paths can be kept: relative, inside the attempt's folder, and short enough for an S3 key."""

from typing import Final

from workflows.contracts.errors import FieldError, ValidationFailed

MAX_PATH_BYTES: Final = 900
"""S3 allows keys of 1,024 bytes; the rest is for the prefix."""


def check_artifact_path(path: str) -> None:
    """Raises ValidationFailed, naming the field ``path``, for a path that cannot be kept."""
    problem = _problem(path)
    if problem is not None:
        raise ValidationFailed(
            f"The artifact path {path[:200]!r} {problem}.", [FieldError(field="path", message=problem)]
        )


def can_be_kept(path: str) -> bool:
    """Whether there can be an artifact of this path."""
    return _problem(path) is None


def _problem(path: str) -> str | None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "must be valid UTF-8: it contains a lone surrogate"
    if size > MAX_PATH_BYTES:
        return f"is {size} bytes long; at most {MAX_PATH_BYTES} are allowed"
    if any(part in {"", ".", ".."} for part in path.split("/")):
        return "must be relative, without empty, '.' and '..' parts"
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "must not contain control characters"
    return None
