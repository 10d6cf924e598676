"""What a provider of metrics is: a YAML manifest on the agent. It alone says whom the agent asks and what it shows
there; a service's definition says what is asked, no more.

``${NAME}`` is a variable of the agent's environment, ``${NAME:-text}`` with another text where it is not set.
``{query}``, ``{service}``, ``{environment}``, ``{version}``, ``{now}``, ``{from}`` (epoch seconds, five minutes apart)
and ``{params.x}`` are the question's; they stand in a query's values only, never in an address or a header.
Deliberately not here: asking (``reading``).
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final, Self

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, model_validator

from agent.own_environment import variable
from agent.settings import SettingsError
from agent.yaml_file import read_yaml
from workflows.contracts.base import Frozen
from workflows.contracts.fields import Name
from workflows.jmespath_words import unreadable_because

SETTING: Final = "HYBRIDCI_METRICS_DIR"
SHIPPED: Final = Path(__file__).parent / "manifests"
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_ASKED: Final = re.compile(r"\{(query|service|environment|version|now|from|params\.[A-Za-z0-9_-]+)\}")


def _without_question(text: str) -> str:
    if _ASKED.search(text):
        raise ValueError("must hold nothing of the question: whom the agent asks is its operator's to say")
    return text


def _expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except (JMESPathError, ValueError, RecursionError) as error:
        raise ValueError(f"is no JMESPath expression: {unreadable_because(error)}") from None
    return text


OwnText = Annotated[str, AfterValidator(_without_question)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_expression)]


class HttpRequest(Frozen):
    """A GET. A header without a value is left out."""

    url: OwnText
    query: dict[str, str] = Field(default_factory=dict[str, str])
    headers: dict[str, OwnText] = Field(default_factory=dict[str, str])
    timeout_seconds: float = Field(default=10, gt=0, le=25, allow_inf_nan=False)


class CloudWatchRequest(Frozen):
    """GetMetricData with one expression."""

    expression: str
    period: str = "60"


class MetricManifest(Frozen):
    """One provider. ``value`` finds the number in its answer; ``value_of_query``: the question's query does.
    ``requires``: variables without which it is not offered, besides those that are named.
    """

    name: Name
    title: str = ""
    docs: str = ""
    requires: list[str] = Field(default_factory=list[str])
    request: HttpRequest | None = None
    cloudwatch: CloudWatchRequest | None = None
    value: Expression | None = None
    value_of_query: bool = False

    @model_validator(mode="after")
    def _asks_somebody(self) -> Self:
        if (self.request is None) == (self.cloudwatch is None):
            raise ValueError("must have either request or cloudwatch")
        if self.request is not None and (self.value is None) != self.value_of_query:
            raise ValueError("must have either value or value_of_query: true")
        return self

    @property
    def missing(self) -> list[str]:
        """The variables that are not set here and have to be."""
        texts = [] if self.request is None else [self.request.url, *self.request.headers.values()]
        named = [found for text in texts for found in _VARIABLE.finditer(text)]
        wanted = [*self.requires, *(found[1] for found in named if found[2] is None)]
        return [name for name in dict.fromkeys(wanted) if not variable(name)]


def load_manifests(folder: Path | None) -> dict[str, MetricManifest]:
    """The shipped ones and those of a folder, which take the place of one of their name. Raises SettingsError."""
    found: dict[str, MetricManifest] = {}
    for place in (SHIPPED, folder):
        if place is None:
            continue
        if not place.is_dir():
            raise SettingsError(f"{SETTING} names {place}, which is no folder: name the folder of the manifests.")
        for path in sorted(each for each in place.iterdir() if each.suffix in {".yml", ".yaml"}):
            manifest = read_yaml(path, SETTING, TypeAdapter(MetricManifest))
            found[manifest.name] = manifest
    return found


def of_agent(text: str) -> str:
    """With the agent's own variables."""

    def value(found: re.Match[str]) -> str:
        known = variable(found[1])
        return (found[2] or "") if known is None else known.decode(errors="replace")

    return _VARIABLE.sub(value, text)


def of_question(text: str, asked: Mapping[str, str]) -> str:
    """With what is asked. What is asked is not looked through again."""
    one: Callable[[re.Match[str]], str] = lambda found: asked.get(found[1], "")  # noqa: E731
    return _ASKED.sub(one, text)
