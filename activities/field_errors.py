"""What pydantic found wrong, as the field errors that cross our boundaries."""

from pydantic import ValidationError

from workflows.contracts.errors import FieldError


def field_errors(error: ValidationError, inside: str = "") -> list[FieldError]:
    """One for each bad field, by its path below ``inside``. Values are left out: they do not belong in logs."""
    return [
        FieldError(
            field=".".join(str(part) for part in (*([inside] if inside else []), *item["loc"])),
            message=item["msg"].removeprefix("Value error, "),
        )
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
