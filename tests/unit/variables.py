"""``docs/variables.md``: what each process reads from its environment. ``python -m tests.unit.variables`` writes it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import AliasChoices, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from activities.ages import age_seconds
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
        "TEMPORAL_ADDRESS": "a profile of Temporal's own file",
        "HYBRIDCI_ADMIN_KEY": "`HYBRIDCI_ADMIN_KEY_FILE`",
        "DYNAMODB_ENDPOINT_URL": "credentials for AWS",
    },
    "worker": {
        "TEMPORAL_ADDRESS": "a profile of Temporal's own file",
        "DYNAMODB_ENDPOINT_URL": "credentials for AWS",
    },
    "agent": {
        "HYBRIDCI_API_KEY": "`HYBRIDCI_API_KEY_FILE`",
        "TEMPORAL_ADDRESS": "a gateway, which the API or `HYBRIDCI_GATEWAY_ADDRESS` names",
    },
    "gateway": {
        "TEMPORAL_ADDRESS": "a profile of Temporal's own file",
        "HYBRIDCI_GATEWAY_KEY": "`HYBRIDCI_GATEWAY_KEY_FILE`",
    },
}
"""Variable → what may be there instead.

Without these the process says so in one sentence and ends with exit code 2 (``tests/e2e/test_required.py``).
"""
SETTINGS: Final[Mapping[str, tuple[type[BaseSettings], ...]]] = {
    "api": (ApiSettings, StoreSettings, CodecSettings),
    "worker": (WorkerSettings, ApprovalSettings, StoreSettings, RetentionSettings, CodecSettings),
    "agent": (AgentSettings, CodecSettings),
}
OTHERS: Final[Mapping[str, tuple[str, str]]] = {
    "`TEMPORAL_ADDRESS`": ("all", "Where Temporal is, as `host:port`."),
    "`TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS_*`": ("all", "Temporal's own variables."),
    "`AWS_*`": ("api, worker", "boto3's own variables: credentials, profiles, `AWS_REGION`."),
    "`HYBRIDCI_WEBHOOK_SECRET_<PROVIDER>`, `HYBRIDCI_WEBHOOK_SECRET_<PROVIDER>_FILE`": (
        "api",
        "What signs the requests of a [tool](webhooks.md#tools), such as `HYBRIDCI_WEBHOOK_SECRET_GITHUB`: several, "
        "apart by spaces, to rotate. A file is read again when it changes.",
    ),
    "`PROMETHEUS_URL`, `DATADOG_API_KEY`, …": (
        "agent",
        "Switch the shipped [providers of metrics](agents.md#providers-of-metrics) on.",
    ),
    "`HYBRIDCI_CONTEXT`": (
        "CLI",
        "[Which API](command-line.md#which-api) of those that somebody signed in to; before `HYBRIDCI_URL`.",
    ),
    "`HYBRIDCI_URL`": ("CLI", "The API's address."),
    "`HYBRIDCI_API_KEY`, `HYBRIDCI_API_KEY_FILE`": ("CLI", "The key for it, or a file with it."),
    "`HYBRIDCI_DATA_DIR`": (
        "CLI",
        "The folder in which `hybridci up` keeps everything, and by which other commands find it. Empty: `.hybridci`.",
    ),
    "`HYBRIDCI_ID_TOKEN`": ("CLI", "The OIDC token that `hybridci token exchange` exchanges for a token."),
    "`HYBRIDCI_SCALER_METRICS_ADDRESS`": (
        "CLI",
        "Where `hybridci scaler` [says how it is](processes.md#health-and-metrics): `host:port`, or a port of this "
        "machine. Empty: nowhere.",
    ),
    "`HYBRIDCI_SCALER_WEBHOOK_TOKEN`": ("CLI", "The bearer token that `hybridci scaler --webhook` sends."),
}
"""Variables that no class of settings has → (who reads them, what they mean)."""
_INTRODUCTION: Final = """# Variables by process

Written by `python -m tests.unit.variables` from the code, and compared with it by a test. Empty counts as not set.
Ages are written `90d`, `12h`, `30m` or `45s`. Variables of Temporal, AWS and the command line are [below](#others).
"""


@dataclass(frozen=True, slots=True)
class Variable:
    """A row of the page."""

    default: str
    meaning: str


def of(process: str) -> dict[str, Variable]:
    """By name, sorted. What two classes of settings have is described by the first."""
    if process == "gateway":
        return {name: Variable("", meaning) for name, meaning in GATEWAY_VARIABLES.items()}
    found: dict[str, Variable] = {}
    for settings in SETTINGS[process]:
        for name, field in fields_of(settings):
            found.setdefault(_variable(name, field), Variable(_shown(field), field.description or ""))
    return dict(sorted(found.items()))


def fields_of(settings: type[BaseSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """Those that are variables: settings within settings are listed by themselves."""
    for name, field in settings.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        if not any(isinstance(kind, type) and issubclass(kind, BaseSettings) for kind in kinds):
            yield name, field


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0]
    return alias if isinstance(alias, str) else name.upper()


def _shown(field: FieldInfo) -> str:
    """The default as somebody would write it."""
    value: Any = field.get_default(call_default_factory=False)
    if value is PydanticUndefined or value is None or value in ("", [], (), {}):
        return ""
    if any(isinstance(each, BeforeValidator) and each.func is age_seconds for each in field.metadata):
        return f"`{value // 86_400}d`" if value % 86_400 == 0 else f"`{value}s`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for process, required in REQUIRED.items():
        known = of(process)
        rows = [f"\n## hybridci {process}\n", "| it needs | or | meaning |", "|---|---|---|"]
        rows += [f"| `{name}` | {instead} | {_meaning(name, known)} |" for name, instead in required.items()]
        rows += ["", "| it may have | default | meaning |", "|---|---|---|"]
        rows += [f"| `{name}` | {it.default} | {it.meaning} |" for name, it in known.items() if name not in required]
        parts.append("\n".join(rows) + "\n")
    rows = ["\n## Others\n", "| variable | of | meaning |", "|---|---|---|"]
    rows += [f"| {names} | {process} | {meaning} |" for names, (process, meaning) in OTHERS.items()]
    return "".join([*parts, "\n".join(rows) + "\n"])


def _meaning(name: str, known: Mapping[str, Variable]) -> str:
    return known[name].meaning if name in known else OTHERS[f"`{name}`"][1]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
