"""What a captured payload would do here: the event, each rule, the action; and sending it as the tool would.

Deliberately not here: the command's options (``webhook``), reading what was captured (``captured``).
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from api.cli.client.connection import REFUSED, USAGE, CliError
from api.cli.client.structured_file import read_map
from api.cli.client.submit import resolve_repository
from api.cli.commands.webhooks.captured import add_delivery, file_bytes, header_of
from api.cli.output import print_fields, print_json, say

if TYPE_CHECKING:
    from api.webhooks.decisions import Delivery, RuleDecision
    from api.webhooks.loading import Provider
    from api.webhooks.repositories import KnownService

_SEND_SECONDS: Final = 30.0


def delivery_of(provider: "Provider", body: bytes, headers: Mapping[str, str], event: str | None) -> "Delivery":
    """What the API would read in it; ``event`` wins over what it says. Raises CliError."""
    from dataclasses import replace

    from api.webhooks.payloads import UnreadableBody, parse_payload
    from api.webhooks.rules import read_delivery

    try:
        value = parse_payload(body, headers.get("content-type", ""), provider.manifest.form_field)
    except UnreadableBody as error:
        raise CliError(f"--payload cannot be read as the API would. {error}", USAGE) from None
    delivery = read_delivery(provider, value, headers, {}, body)
    return delivery if event is None else replace(delivery, event=event)


def require_event(provider: "Provider", delivery: "Delivery") -> None:
    """Raises CliError where no rule can match, since each is for events with a name and nothing tells this one's."""
    rules = provider.manifest.rules
    if delivery.event is not None or not all(rule.on for rule in rules):
        return
    events = ", ".join(dict.fromkeys(event for rule in rules for event in rule.on))
    header = header_of(provider.event.text)
    where = "the payload does not tell it" if header is None else f"no --header or --headers tells {header}"
    raise CliError(f"--event is missing, and {where}. Events of {provider.name}: {events}.", USAGE)


def show_decision(
    provider: "Provider", delivery: "Delivery", services: "Sequence[KnownService] | None", *, as_json: bool
) -> None:
    """Print what the provider's rules make of it. Raises CliError, with exit code 1, when an action is refused."""
    from api.webhooks.rules import decide

    decision = decide(provider, delivery, services)
    refused = [planned.problem for planned in decision.actions if planned.problem is not None]
    if as_json:
        print_json(_as_json(provider, delivery, decision))
        _end_refused(refused)
        return
    print_fields(
        [
            ("Provider", f"{provider.name} ({provider.source})"),
            ("Event", delivery.event or "none"),
            ("Delivery", delivery.delivery),
            ("Rule", decision.rule or "none matches"),
            ("Reason", decision.reason),
        ]
    )
    say("\nRules, in order:")
    for rule in decision.considered:
        say(f"  {'✓' if rule.matched else '✗'} {rule.rule} ({rule.action}): {rule.why}")
    for facts in decision.facts:
        say("\nFacts, as the payload tells them:")
        for name, value in facts.known.items():
            say(f"  {name}: {value if isinstance(value, str) else json.dumps(value)}")
    for each in decision.passed_over:
        say(f"\nNot started: {each.why}")
    for planned in decision.actions:
        say(f"\nAction: {planned.action}" + (f" of service {planned.service}" if planned.service else ""))
        if planned.problem is not None:
            say(f"  refused: {planned.problem}")
        if planned.judged is not None:
            say(f"  why: {planned.judged.why}")
        if planned.judged is not None and planned.judged.lacking is not None:
            say(f"  asked first: {planned.judged.lacking} (a running API knows them)")
        for name, value in planned.values.items():
            say(f"  {name}: {value if isinstance(value, str) else json.dumps(value)}")
    if not decision.actions:
        say("\nNothing would be done.")
    _end_refused(refused)


def send_it(
    provider: "Provider", url: str, secret_file: Path | None, body: bytes, headers: dict[str, str], *, as_json: bool
) -> None:
    """As the tool would send it. A refusal by the API ends with exit code 1."""
    import httpx

    from api.webhooks.verify import sign

    if secret_file is None:
        raise CliError("--send needs --secret-file: the file with the secret that the API knows.", USAGE)
    words = file_bytes(secret_file, "--secret-file").decode("utf-8", "replace").split()
    if not words:
        raise CliError(f"--secret-file {secret_file} is empty.", USAGE)
    add_delivery(provider, headers)
    signed, query = sign(provider.manifest.verify[0], words[0], body, headers, int(time.time()))
    try:
        response = httpx.post(
            f"{url.rstrip('/')}/api/webhooks/{provider.name}",
            content=body,
            params=query or None,
            headers={**headers, **signed},
            timeout=_SEND_SECONDS,
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise CliError(f"{url} did not answer: {error}. Give the address of a running API.", USAGE) from None
    try:
        answer: Any = response.json()
    except ValueError:
        raise CliError(f"{url} answered {response.status_code} and no JSON: this is not our API.", USAGE) from None
    if as_json:
        print_json(answer)
    else:
        print_fields([("Answer", response.status_code), *(_told(answer) if response.is_success else ())])
    if not response.is_success:
        raise CliError(f"The API refused it: {answer.get('detail', response.reason_phrase)}")


def services_of(options: Sequence[str] | None) -> "list[KnownService] | None":
    """What ``--service`` names; None without any: all are taken for registered. Raises CliError."""
    from dataclasses import replace

    from api.webhooks.repositories import KnownService
    from workflows.contracts.identity.repositories import same_form

    if not options:
        return None
    found: list[KnownService] = []
    for option in options:
        if Path(option).is_file():
            found.append(replace(_of_file(Path(option)), given_by=option))
            continue
        name, equals, rest = option.partition("=")
        url, _, branch = rest.partition("#")
        if not name or not equals or not url:
            raise CliError(f"--service {option!r} is not NAME=REPOSITORY[#BRANCH], and no file.", USAGE)
        found.append(KnownService(name, same_form(url), branch or None, given_by="--service"))
    return found


def _end_refused(problems: Sequence[str]) -> None:
    """Raises CliError with exit code 1 when there are any."""
    if problems:
        raise CliError(f"It would be refused: {problems[0]}", REFUSED)


def _as_json(provider: "Provider", delivery: "Delivery", decision: "RuleDecision") -> dict[str, Any]:
    return {
        "provider": provider.name,
        "event": delivery.event,
        "delivery": delivery.delivery,
        "rule": decision.rule,
        "reason": decision.reason,
        "facts": [facts.known for facts in decision.facts],
        "passed_over": [{"service": each.service, "why": each.why} for each in decision.passed_over],
        "considered": [
            {"rule": rule.rule, "action": rule.action.value, "matched": rule.matched, "why": rule.why}
            for rule in decision.considered
        ],
        "actions": [
            {
                "action": planned.action.value,
                "service": planned.service,
                "environment": planned.environment,
                "key": planned.key,
                "values": dict(planned.values),
                "problem": planned.problem,
                "why": None if planned.judged is None else planned.judged.why,
                "asked_first": None if planned.judged is None else planned.judged.lacking,
            }
            for planned in decision.actions
        ],
    }


def _told(answer: Any) -> list[tuple[str, object]]:
    if not isinstance(answer, dict):
        return []
    fields = cast(dict[str, Any], answer)
    shown: list[tuple[str, object]] = [
        (name.capitalize(), fields.get(name)) for name in ("status", "rule", "reason", "message", "detail")
    ]
    actions = cast(list[dict[str, Any]], fields.get("actions") or [])
    return [*shown, *((str(action.get("action")), action.get("url") or action.get("status")) for action in actions)]


def _of_file(path: Path) -> "KnownService":
    """A service as `hybridci service apply` takes it. Raises CliError."""
    from pydantic import ValidationError

    from api.webhooks.repositories import known_service
    from workflows.contracts.deployments.services import Service, ServiceSpec
    from workflows.contracts.errors import field_errors

    fields = read_map(path, what="service", such_as="git_repo and environments")
    name = fields.pop("name", None) or path.stem
    resolve_repository(fields, path)
    try:
        spec = ServiceSpec.model_validate(fields)
    except ValidationError as error:
        said = "; ".join(f"{each.field}: {each.message}" for each in field_errors(error)[:10])
        raise CliError(f"--service {path}: {said}.", USAGE) from None
    return known_service(Service(name=str(name), version=1, spec=spec, created_at=0, updated_at=0))
