"""Asking a provider of metrics for one number. Deliberately not here: what a provider is (``manifest``)."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import httpx
import jmespath
from jmespath.exceptions import JMESPathError

from agent.metrics.manifest import CloudWatchRequest, HttpRequest, MetricManifest, load_manifests, of_agent, of_question
from agent.settings import AgentSettings
from workflows.contracts.tasks import ReadingQuestion

SPAN_SECONDS: Final = 300
_MOST_BYTES: Final = 1 << 20


class NoSuchProvider(Exception):
    """This agent has no provider of this name, or lacks what it needs; another agent of the pool may have it."""


class ReadFailed(Exception):
    """The provider did not say; the message says why, without what it answered: that may be anything."""


class MetricProviders:
    """Those of one agent."""

    def __init__(self, manifests: Mapping[str, MetricManifest]) -> None:
        self._manifests = manifests

    @classmethod
    def load(cls, settings: AgentSettings) -> Self:
        """As the agent is set up. Raises SettingsError."""
        return cls(load_manifests(settings.metrics_dir))

    @property
    def usable(self) -> Sequence[str]:
        """Those that have what they need."""
        return [name for name, manifest in self._manifests.items() if not manifest.missing]

    async def value(self, question: ReadingQuestion, seconds: float) -> float:
        """What it reads now. Raises NoSuchProvider, ReadFailed."""
        manifest = self._manifests.get(question.provider)
        if manifest is None:
            raise NoSuchProvider(f"This agent has no provider {question.provider}.")
        if manifest.missing:
            raise NoSuchProvider(f"This agent's provider {question.provider} lacks {', '.join(manifest.missing)}.")
        asked = _asked(question)
        if manifest.cloudwatch is not None:
            said = await _cloudwatch(manifest.cloudwatch, asked, seconds)
        elif manifest.request is not None:
            said = await _http(manifest, manifest.request, asked, seconds)
        else:
            raise ReadFailed("Its manifest asks nobody.")
        return _number(said, question.provider)


def _asked(question: ReadingQuestion) -> dict[str, str]:
    now = int(time.time())
    return {
        "query": question.query,
        "service": question.service or "",
        "environment": question.environment or "",
        "version": question.version or "",
        "now": str(now),
        "from": str(now - SPAN_SECONDS),
        **{f"params.{name}": value for name, value in question.params.items()},
    }


async def _http(manifest: MetricManifest, request: HttpRequest, asked: Mapping[str, str], seconds: float) -> Any:
    headers = {name: filled for name, text in request.headers.items() if (filled := of_agent(text))}
    query = {name: of_question(of_agent(text), asked) for name, text in request.query.items()}
    expression = asked["query"] if manifest.value is None else manifest.value
    limit = min(request.timeout_seconds, seconds)
    try:
        async with (
            httpx.AsyncClient(timeout=limit, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", of_agent(request.url), params=query, headers=headers) as answer,
        ):
            if answer.status_code != 200:
                raise ReadFailed(f"{manifest.name} answered {answer.status_code}.")
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise ReadFailed(f"{manifest.name} answered more than {_MOST_BYTES} bytes.")
        return jmespath.search(expression, json.loads(body))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ReadFailed(f"{manifest.name} does not answer ({type(error).__name__}).") from None
    except JMESPathError:
        raise ReadFailed("Its answer does not suit the expression that finds the number in it.") from None
    # jmespath lets Python's own errors through, and JSON may be nested too deep.
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError):
        raise ReadFailed(f"{manifest.name} answered no JSON that can be read.") from None


async def _cloudwatch(request: CloudWatchRequest, asked: Mapping[str, str], seconds: float) -> Any:
    period = of_question(request.period, asked) or "60"
    if not period.isascii() or not period.isdigit() or not 1 <= int(period) <= 86_400:
        raise ReadFailed("params.period must be seconds, 1 to 86400.")
    from agent.metrics.cloudwatch import cloudwatch_value

    try:
        return await cloudwatch_value(of_question(request.expression, asked), int(period), SPAN_SECONDS, seconds)
    except TimeoutError:
        raise ReadFailed(f"cloudwatch did not answer within {seconds:g} s.") from None
    except Exception as error:
        raise ReadFailed(f"cloudwatch did not say ({type(error).__name__}).") from None


def _number(said: Any, provider: str) -> float:
    if said is None:
        raise ReadFailed(f"{provider} has no value for this query.")
    try:
        value = math.nan if isinstance(said, bool) or not isinstance(said, int | float | str) else float(said)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ReadFailed(f"{provider} says no number for this query.")
    return value
