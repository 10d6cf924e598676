"""From a genuine delivery to what it asks for: the first rule that matches decides, but for triggers. Pure.

``hybridci webhook test`` shows exactly this. Deliberately not here: doing it (``actions``).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from api.webhooks.decisions import Considered, Delivery, Judged, PassedOver, Planned, RuleDecision
from api.webhooks.expressions import Expression, ExpressionFailed
from api.webhooks.loading import CompiledRule, Provider, Template
from api.webhooks.manifest import ActionName, Scheme, TokenScheme
from api.webhooks.repositories import KnownService, matching
from api.webhooks.triggering.facts import Facts
from api.webhooks.triggering.triggers import judge
from workflows.contracts.identity.repositories import same_form

MAX_ACTIONS: Final = 50
"""Of one delivery."""
_MAX_ID: Final = 200
_UNSAFE: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


def read_delivery(
    provider: Provider, payload: Any, headers: Mapping[str, str], query: Mapping[str, str], body: bytes
) -> Delivery:
    """Find the event and the delivery's id; without one, the digest of the body stands for it."""
    secret = {place.lower() for scheme in provider.manifest.verify for place in _secret_headers(scheme)}
    safe = {name: value for name, value in headers.items() if name not in _UNSAFE | secret}
    tokens = {scheme.query for scheme in provider.manifest.verify if isinstance(scheme, TokenScheme)}
    query = {name: value for name, value in query.items() if name not in tokens}
    names = {"payload": payload, "headers": safe, "query": query}
    event = _text_or_none(provider.event, names)
    delivery = None if provider.delivery is None else _text_or_none(provider.delivery, names)
    return Delivery(event, _plain_id(delivery, body), payload, safe, query)


def decide(provider: Provider, delivery: Delivery, services: Sequence[KnownService] | None) -> RuleDecision:
    """The first rule that matches and what it asks for; of those with a trigger, all that match: one push can bring a
    branch and a tag. ``services`` None: unknown, so all are taken for registered.
    """
    names: dict[str, Any] = {
        "payload": delivery.payload,
        "headers": delivery.headers,
        "query": dict(delivery.query),
        "event": delivery.event,
        "delivery": delivery.delivery,
        "people": provider.manifest.people,
    }
    considered: list[Considered] = []
    said, matched, actions = _Said(), list[CompiledRule](), list[Planned]()
    for rule in provider.rules:
        if matched and rule.facts is None:
            continue
        try:
            actions += list(_planned(provider, rule, names, services, said))
        except _NoMatch as no:
            considered.append(Considered(rule.rule.name, rule.rule.action, False, no.why, no.depth))
            continue
        considered.append(Considered(rule.rule.name, rule.rule.action, True, rule.rule.reason, 5))
        matched.append(rule)
        if rule.facts is None:
            break
    name = matched[0].rule.name if matched else None
    reason = " ".join(rule.rule.reason for rule in matched) or _why_nothing(delivery.event, considered)
    return RuleDecision(name, reason, tuple(actions), considered, said.facts, said.repository, said.passed_over)


def concerns(provider: Provider, event: str | None) -> bool:
    """Whether a rule for this event needs to know the registered services."""
    return any(
        (rule.service is not None or rule.repository) and (not rule.rule.on or event in rule.rule.on)
        for rule in provider.rules
    )


@dataclass(slots=True)
class _Said:
    """What the rules found out on their way."""

    facts: list[Facts] = field(default_factory=list[Facts])
    repository: str | None = None
    passed_over: list[PassedOver] = field(default_factory=list[PassedOver])


class _NoMatch(Exception):
    def __init__(self, depth: int, why: str) -> None:
        super().__init__(why)
        self.depth, self.why = depth, why


def _planned(
    provider: Provider,
    rule: CompiledRule,
    names: Mapping[str, Any],
    services: Sequence[KnownService] | None,
    said: _Said,
) -> Iterator[Planned]:
    """What the rule asks for. Raises _NoMatch."""
    event = names["event"]
    if rule.rule.on and event not in rule.rule.on:
        raise _NoMatch(0, f"it is for {', '.join(rule.rule.on)}, not for {_shown(event)}")
    for needed in rule.needs:
        if _value(needed, names, 4) is None:
            raise _NoMatch(4, f"the payload has no {needed.text}, which every {_shown(event)} has: is it one?")
    if rule.when is not None and not _holds(rule.when, names):
        raise _NoMatch(1, f"when does not hold: {' '.join(rule.when.text.split())}")
    items: list[Any] = [None] if rule.each is None else _items(rule.each, names)
    if rule.rule.action is ActionName.IGNORE:
        if said.passed_over:
            raise _NoMatch(1, "a service was judged by its triggers")
        return
    found = [
        ({**names, "item": item}, service)
        for item in items
        for service in _services(rule, {**names, "item": item}, services)
    ]
    if not found:
        raise _NoMatch(3, _why_no_service(rule, names, items, services or ()))
    if len(found) > MAX_ACTIONS:
        problem = f"it asks for {len(found)} actions; at most {MAX_ACTIONS} are taken from one delivery"
        yield Planned(rule.rule.action, rule.rule.name, f"{provider.name}:{names['delivery']}", problem=problem)
        return
    planned = [_one(provider, rule, scope, service, number) for number, (scope, service) in enumerate(found)]
    if rule.facts is None:
        yield from planned
        return
    judged = [
        _judged(provider, rule, rule.facts, each, scope, service, said)
        for each, (scope, service) in zip(planned, found, strict=True)
    ]
    starting = [each for each in judged if isinstance(each, Planned)]
    said.passed_over += [each for each in judged if isinstance(each, PassedOver)]
    if not starting:
        raise _NoMatch(4, "; ".join(dict.fromkeys(each.why for each in judged if isinstance(each, PassedOver))))
    yield from starting


def _judged(
    provider: Provider,
    rule: CompiledRule,
    expressions: Mapping[str, Expression],
    planned: Planned,
    scope: Mapping[str, Any],
    service: KnownService | None,
    said: _Said,
) -> Planned | PassedOver | None:
    """The start as the service's triggers have it; None without a service, which a rule with a trigger always has."""
    if service is None or rule.rule.trigger is None:
        return None
    facts = Facts.of(rule.rule.trigger.type, {name: _found(each, scope) for name, each in expressions.items()})
    said.repository = service.repository
    if facts not in said.facts:
        said.facts.append(facts)
    verdict = judge(facts, service)
    if not verdict.starts:
        return PassedOver(service.name, verdict.why)
    values = planned.values if verdict.version is None else {**planned.values, "version": verdict.version}
    key = planned.key
    if service.triggers is not None and service.triggers.required_checks:
        place = f"{facts.tag or facts.branch}/{facts.commit}"
        key = f"{provider.name}:=checks/{service.repository}/{place}:{service.name}"
    judged = Judged(service, facts, service.repository, verdict.why, verdict.lacking)
    return replace(planned, values=values, key=key, judged=judged)


def _found(expression: Expression, scope: Mapping[str, Any]) -> Any:
    """A fact that cannot be told is none."""
    try:
        return expression.value(scope)
    except ExpressionFailed:
        return None


def _items(each: Expression, names: Mapping[str, Any]) -> list[Any]:
    value = _value(each, names, 2)
    if not isinstance(value, list) or not value:
        raise _NoMatch(2, f"nothing in each: {' '.join(each.text.split())}")
    return cast(list[Any], value)


def _services(
    rule: CompiledRule, names: Mapping[str, Any], services: Sequence[KnownService] | None
) -> Sequence[KnownService | None]:
    """The services a rule is about; ``[None]`` for a rule that needs none."""
    if rule.service is not None:
        wanted = _texts(_value(rule.service, names, 3))
        known = None if services is None else {service.name: service for service in services}
        return [
            KnownService(name, "") if known is None else known[name]
            for name in wanted
            if known is None or name in known
        ]
    if not rule.repository:
        return [None]
    urls, branch = _repository(rule, names)
    if not urls or (rule.branch is not None and branch is None):
        return []
    if services is None:
        return [KnownService(f"<every service of {same_form(urls[0])}>", same_form(urls[0]), branch)]
    return matching(services, urls, branch)


def _repository(rule: CompiledRule, names: Mapping[str, Any]) -> tuple[list[str], str | None]:
    urls = [url for expression in rule.repository for url in _texts(_value(expression, names, 3))]
    branches = [] if rule.branch is None else _texts(_value(rule.branch, names, 3))
    return urls, branches[0] if branches else None


def _why_no_service(
    rule: CompiledRule, names: Mapping[str, Any], items: Sequence[Any], services: Sequence[KnownService]
) -> str:
    scope = {**names, "item": items[0]}
    if rule.service is not None:
        wanted = _texts(_value(rule.service, scope, 3))
        if not wanted:
            return f"it names no service: {rule.service.text} is empty"
        return f"no service {', '.join(wanted[:5])} is registered: `hybridci service list` shows those that are"
    urls, branch = _repository(rule, scope)
    if not urls:
        return "it names no repository"
    if rule.branch is not None and branch is None:
        return f"it names no branch: {rule.branch.text} is empty"
    of_branch = "" if branch is None else f" and branch {branch}"
    wanted = f"{same_form(urls[0])}{of_branch}"
    given = [
        f"{each.name} ({each.given_by}) has {_place_of(each, branch)}" for each in services if each.given_by is not None
    ]
    if given:  # a dry run's: whom a tool sends to must not learn of other repositories
        return f"none of the given services has the repository {wanted}: {', '.join(given[:5])}"
    return f"no registered service has the repository {wanted}"


def _place_of(service: KnownService, wanted: str | None) -> str:
    return service.repository + ("" if None in (wanted, service.branch) else f" and branch {service.branch}")


def _one(
    provider: Provider, rule: CompiledRule, names: dict[str, Any], service: KnownService | None, number: int
) -> Planned:
    scope = names
    if service is not None:
        scope = {**names, "service": {"name": service.name, "environment": service.environment}}
    own, target = rule.key, service.name if service is not None else str(number)
    try:
        meant = names["delivery"] if own is None else f"={_key_text(own, scope)}"
        values = {name: _filled(template, scope) for name, template in rule.values.items()}
        problem = None
    except ExpressionFailed as error:
        meant, values, problem = names["delivery"], {}, f"its values cannot be found in the payload: {error}"
    if own is None and rule.each is not None:
        target = f"{target}:{number}"
    return Planned(
        action=rule.rule.action,
        rule=rule.rule.name,
        key=f"{provider.name}:{meant}:{rule.index}:{target}" if own is None else f"{provider.name}:{meant}:{target}",
        service=None if service is None else service.name,
        environment=None if service is None else service.environment,
        values={name: value for name, value in values.items() if value is not None},
        lacking=frozenset(name for name, value in values.items() if value is None),
        reason=rule.rule.reason,
        problem=problem,
    )


def _key_text(key: Expression, names: Mapping[str, Any]) -> str:
    value = key.value(names)
    if not isinstance(value, str) or not value:
        raise ExpressionFailed(f"key: {key.text} is no text")
    return value


def _filled(template: Template, names: Mapping[str, Any]) -> Any:
    if isinstance(template, Expression):
        return template.value(names)
    if isinstance(template, dict):
        return {name: _filled(part, names) for name, part in template.items()}
    if isinstance(template, list):
        return [_filled(part, names) for part in template]
    return template


def _holds(when: Expression, names: Mapping[str, Any]) -> bool:
    try:
        return when.holds(names)
    except ExpressionFailed as error:
        raise _NoMatch(1, f"when cannot be told: {error}") from error


def _value(expression: Expression, names: Mapping[str, Any], depth: int) -> Any:
    try:
        return expression.value(names)
    except ExpressionFailed as error:
        raise _NoMatch(depth, f"{expression.text} cannot be told: {error}") from error


def _texts(value: Any) -> list[str]:
    """A text or a list of texts, each once and in order; anything else is none."""
    values = cast(list[Any], value) if isinstance(value, list) else [value]
    return list(dict.fromkeys(text for text in values if isinstance(text, str) and text))


def _text_or_none(expression: Expression, names: Mapping[str, Any]) -> str | None:
    try:
        value = expression.value(names)
    except ExpressionFailed:
        return None  # a payload of another shape: an event without a name, which no rule is for
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _plain_id(delivery: str | None, body: bytes) -> str:
    """Short and printable: it becomes a part of ids, logs and answers."""
    if delivery is None:
        return f"sha256-{hashlib.sha256(body).hexdigest()}"
    if len(delivery) <= _MAX_ID and delivery.isascii() and delivery.isprintable():
        return delivery
    return f"sha256-{hashlib.sha256(delivery.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _secret_headers(scheme: Scheme) -> list[str]:
    """The headers that hold a secret, which no expression may pass on."""
    return [scheme.header] if isinstance(scheme, TokenScheme) and scheme.header else []


def _why_nothing(event: str | None, considered: Sequence[Considered]) -> str:
    """The reason of the rule that came closest."""
    closest = max(considered, key=lambda each: each.depth)
    if closest.depth == 0:
        return f"no rule is for the event {_shown(event)}"
    return f"{closest.rule}: {closest.why}"


def _shown(event: str | None) -> str:
    return "without a name" if event is None else repr(event[:64])
