"""``docs/variables.md``: what each process reads from its environment. ``python -m tests.unit.variables`` writes it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from activities.retention.settings import RetentionSettings
from activities.settings import ApprovalSettings, WorkerSettings
from activities.stores.settings import StoreSettings
from agent.settings import AgentSettings
from api.gateway.settings import VARIABLES as GATEWAY_VARIABLES
from api.settings import ApiSettings
from workflows.payloads.codec import CodecSettings

PAGE = Path(__file__).parents[2] / "docs" / "variables.md"
HOW_TO_RENEW = "Renew it: `python -m tests.unit.variables`, and commit docs/variables.md with it."
REQUIRED: Final[Mapping[str, Mapping[str, str]]] = {
    "api": {
        "TEMPORAL_ADDRESS": "where Temporal is, as host:port (or a profile of Temporal's own file)",
        "HYBRIDCI_ADMIN_KEY": "or `HYBRIDCI_ADMIN_KEY_FILE`: the first key, of 32 characters or more",
        "DYNAMODB_ENDPOINT_URL": "or credentials for AWS: where records are kept",
    },
    "worker": {
        "TEMPORAL_ADDRESS": "as above",
        "DYNAMODB_ENDPOINT_URL": "or credentials for AWS: where records are kept",
    },
    "agent": {
        "HYBRIDCI_API_KEY": "or `HYBRIDCI_API_KEY_FILE`: a key of its pool",
        "TEMPORAL_ADDRESS": "unless the API names a gateway, or `HYBRIDCI_GATEWAY_ADDRESS` does",
    },
    "gateway": {
        "TEMPORAL_ADDRESS": "as above",
        "HYBRIDCI_GATEWAY_KEY": "or `HYBRIDCI_GATEWAY_KEY_FILE`: 32 bytes that bind tasks to agents",
    },
}
"""Without these the process says so in one sentence and ends with exit code 2 (``tests/e2e/test_required.py``)."""
SETTINGS: Final[Mapping[str, tuple[type[BaseSettings], ...]]] = {
    "api": (ApiSettings, StoreSettings, CodecSettings),
    "worker": (WorkerSettings, ApprovalSettings, StoreSettings, RetentionSettings, CodecSettings),
    "agent": (AgentSettings, CodecSettings),
}
_INTRODUCTION: Final = """# Variables by process

Written by `python -m tests.unit.variables` from the code, and compared with it by a test. What each one does stands in
[Operations](operations.md#variables) and [Agents](agents.md). Every process reads Temporal's own `TEMPORAL_*`
variables; api and worker also read boto3's `AWS_*`. Empty counts as not set.
"""


def of(process: str) -> dict[str, str]:
    """Variable → default in words."""
    if process == "gateway":
        return dict.fromkeys(GATEWAY_VARIABLES, "")
    return dict(sorted(found for settings in SETTINGS[process] for found in _of_settings(settings)))


def _of_settings(settings: type[BaseSettings]) -> Iterator[tuple[str, str]]:
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings):
            continue  # settings within settings, which are listed by themselves
        yield _variable(name, field), _shown(field)


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0]
    return alias if isinstance(alias, str) else name.upper()


def _shown(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=False)
    if value is PydanticUndefined or value is None or value in ("", [], (), {}):
        return ""
    return f"`{value}`"


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for process, required in REQUIRED.items():
        rows = [f"\n## hybridci {process}\n", "| it needs | which is |", "|---|---|"]
        rows += [f"| `{name}` | {meaning} |" for name, meaning in required.items()]
        rows += ["", "| it may have | default |", "|---|---|"]
        rows += [f"| `{name}` | {default} |" for name, default in of(process).items() if name not in required]
        parts.append("\n".join(rows) + "\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
