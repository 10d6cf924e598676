"""Which values can be masked in a log without harm, for the CLI that seals them and the agent that masks them. Pure.

A short or common value cannot: it turns up where nothing is secret, so that masking it garbles the log and shows by
the gaps what it is.
"""

from typing import Final

MIN_SECRET_CHARACTERS: Final = 8
MIN_DIFFERENT_CHARACTERS: Final = 4
_COMMON: Final = frozenset(
    (
        "password", "passw0rd", "password1", "password123", "changeme", "changeit", "letmein1", "qwertyui",
        "qwertyuiop", "12345678", "123456789", "1234567890", "administrator", "username", "anonymous", "localhost",
        "127.0.0.1", "localhost:5432", "localhost:6379", "localhost:8080", "http://localhost", "example.com",
        "https://example.com", "database", "postgres", "postgresql", "production", "development", "undefined",
        "disabled", "us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "application/json",
    )
)  # fmt: skip


def weakness(value: str) -> str | None:
    """Why a value is too weak to be masked, as in "it is …", or None. White space around it does not count."""
    value = value.strip()
    if len(value) < MIN_SECRET_CHARACTERS:
        return f"it has fewer than {MIN_SECRET_CHARACTERS} characters"
    if len(set(value)) < MIN_DIFFERENT_CHARACTERS:
        return f"it has fewer than {MIN_DIFFERENT_CHARACTERS} different characters"
    if value.lower() in _COMMON:
        return "it is a common word"
    return None
