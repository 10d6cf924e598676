"""The table of tools in docs/webhooks.md, from their manifests: ``python -m tests.unit.webhooks_page`` writes it."""

from pathlib import Path
from typing import Final

from api.webhooks.loading import Provider, load_providers
from api.webhooks.manifest import ActionName

PAGE: Final = Path(__file__).parents[2] / "docs" / "webhooks.md"
BEGIN: Final = "<!-- tools: begin -->"
END: Final = "<!-- tools: end -->"


def table() -> str:
    """A row for each tool."""
    rows = ["| tool | provider | tells of (`triggers` judge it) | does besides |", "|---|---|---|---|"]
    rows += [_row(provider) for provider in load_providers().values()]
    return "\n".join(rows)


def written() -> str:
    """What stands on the page."""
    return PAGE.read_text("utf-8").split(BEGIN)[1].split(END)[0].strip()


def _row(provider: Provider) -> str:
    rules = provider.manifest.rules
    judged = dict.fromkeys(rule.trigger.type.value for rule in rules if rule.trigger is not None)
    starts = any(rule.trigger is None and rule.action is ActionName.START_DEPLOYMENT for rule in rules)
    others = dict.fromkeys(
        rule.action.value for rule in rules if rule.action not in {ActionName.START_DEPLOYMENT, ActionName.IGNORE}
    )
    named = ["start_deployment (the sender names the service)"] if starts else []
    return (
        f"| {provider.manifest.title} | `{provider.name}` | {', '.join(judged) or '-'} |"
        f" {', '.join([*named, *others]) or '-'} |"
    )


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}", "utf-8")
