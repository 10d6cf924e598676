"""The list of event types in ``docs/audit.md``. ``python -m tests.unit.events`` writes it anew from the catalogue."""

from pathlib import Path

from workflows.contracts.audit.details import WITH_DETAILS
from workflows.contracts.audit.types import EventType

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
HOW_TO_RENEW = "Renew it: `python -m tests.unit.events`, and commit docs/audit.md with it."
_BEGIN = "<!-- types: begin; written by `python -m tests.unit.events` -->\n"
_END = "<!-- types: end -->\n"


def table() -> str:
    """Every type, what it means, what stands in ``details``, whether it is a refusal."""
    rows = ["| type | means | details | refused |", "|---|---|---|---|"]
    for each in EventType:
        shape = WITH_DETAILS.get(each)
        fields = [name for name, field in shape.model_fields.items() if not field.exclude] if shape is not None else []
        said = ", ".join(f"`{name}`" for name in fields)
        rows.append(f"| `{each.value}` | {each.means} | {said} | {'yes' if each.refused else ''} |")
    return "\n".join(rows) + "\n"


def written() -> str:
    """The list as the page has it."""
    return _parts()[1]


def _parts() -> tuple[str, str, str]:
    before, _, rest = PAGE.read_text("utf-8").partition(_BEGIN)
    inside, _, after = rest.partition(_END)
    return before, inside, after


def main() -> None:
    """Write the list anew; the rest of the page stays."""
    before, _, after = _parts()
    PAGE.write_text(f"{before}{_BEGIN}{table()}{_END}{after}", "utf-8")


if __name__ == "__main__":
    main()
