"""`hybridci webhook`: which tools can trigger what, and what a captured payload would do. Exit codes: see ``common``.

Offline: manifests are read from this installation (and the folder that HYBRIDCI_WEBHOOK_MANIFESTS or --manifests
names). Only ``--send`` speaks to a server, and then as the tool would; so do the commands of ``webhook_history``.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from api.cli.client.connection import REFUSED, USAGE, CliError
from api.cli.client.structured_file import read_map
from api.cli.client.submit import resolve_repository
from api.cli.commands import webhook_history
from api.cli.commands.common import AsJson, example, sub_app
from api.cli.output import Column, note, print_fields, print_json, print_table, say

if TYPE_CHECKING:
    from api.webhooks.decisions import Delivery, RuleDecision
    from api.webhooks.loading import Provider
    from api.webhooks.repositories import KnownService

app = sub_app("Webhooks of other tools: which there are, and what they do.")
app.command("deliveries", epilog=example("hybridci webhook deliveries --outcome ignored --since 2h"))(
    webhook_history.deliveries
)
app.command("show", epilog=example("hybridci webhook show 3f2a91c0"))(webhook_history.show)
app.command("replay", epilog=example("hybridci webhook replay 3f2a91c0 --start-again"))(webhook_history.replay)
_SEND_SECONDS: Final = 30.0
_EVENT_HEADER: Final = 'headers."'

Manifests = Annotated[
    Path | None,
    typer.Option(
        "--manifests", envvar="HYBRIDCI_WEBHOOK_MANIFESTS", help="Folder with manifests of your own, beside ours."
    ),
]


@app.command("list", epilog=example("hybridci webhook list", "hybridci webhook list --json"))
def list_providers(manifests: Manifests = None, as_json: AsJson = False) -> None:
    """All tools that can send webhooks here, and the variable that holds the secret of each."""
    from api.webhooks.secrets import secret_variable

    providers = _providers(manifests)
    rows = [
        {
            "name": provider.name,
            "title": provider.manifest.title,
            "path": f"/api/webhooks/{provider.name}",
            "verify": [scheme.scheme for scheme in provider.manifest.verify],
            "secret": secret_variable(provider.name),
            "events": list(dict.fromkeys(event for rule in provider.manifest.rules for event in rule.on)),
            "actions": list(dict.fromkeys(rule.action.value for rule in provider.manifest.rules)),
            "source": provider.source,
            "docs": provider.manifest.docs,
        }
        for provider in providers.values()
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            Column("PROVIDER", key=True),
            Column("TOOL", rank=1),
            Column("VERIFIED BY", rank=2),
            Column("ACTIONS"),
            Column("SECRET IN", key=True),
        ],
        [
            (
                row["name"],
                row["title"],
                ", ".join(dict.fromkeys(row["verify"])),
                ", ".join(row["actions"]),
                row["secret"],
            )
            for row in rows
        ],
    )
    note("`hybridci webhook test PROVIDER --payload FILE` shows what a captured payload would do.")


@app.command("provider", epilog=example("hybridci webhook provider github"))
def show_provider(
    provider: Annotated[str, typer.Argument(help="Name of the provider, as `hybridci webhook list` shows it.")],
    manifests: Manifests = None,
    as_json: AsJson = False,
) -> None:
    """Show one tool: where it sends to, how that is verified, what each rule is for and does."""
    from api.webhooks.secrets import secret_variable

    chosen = _chosen(_providers(manifests), provider)
    manifest = chosen.manifest
    if as_json:
        print_json({"name": chosen.name, "source": chosen.source, **manifest.model_dump(mode="json")})
        return
    print_fields(
        [
            ("Provider", f"{chosen.name} ({chosen.source})"),
            ("Tool", manifest.title),
            ("Sends to", f"/api/webhooks/{chosen.name}"),
            ("Verified by", ", ".join(dict.fromkeys(scheme.scheme for scheme in manifest.verify))),
            ("Secret in", secret_variable(chosen.name)),
            ("Documentation", manifest.docs),
        ]
    )
    say("\nRules, in order: the first that matches counts")
    for rule in manifest.rules:
        say(f"  {rule.name} ({rule.action}), for {', '.join(rule.on) or 'every event'}" + f": {rule.reason}")
    note(f"`hybridci webhook test {chosen.name} --payload FILE` shows what a captured payload would do.")


@app.command(
    "test",
    epilog=example(
        "hybridci webhook test github --payload push.json --event push",
        "hybridci webhook test github --payload push.json --headers push.headers --send http://127.0.0.1:8000"
        " --secret-file github.secret",
    ),
)
def dry_run(
    provider: Annotated[str, typer.Argument(help="Name of the provider, as `hybridci webhook list` shows it.")],
    payload: Annotated[
        Path,
        typer.Option("--payload", help="The body, byte for byte as it was sent; or a JSON object of headers and body."),
    ],
    header: Annotated[
        list[str] | None, typer.Option("--header", help="NAME=VALUE or 'NAME: VALUE'; repeatable.")
    ] = None,
    headers: Annotated[Path | None, typer.Option("--headers", help="File with one 'Name: value' a line.")] = None,
    event: Annotated[str | None, typer.Option("--event", help="The event, where the headers do not tell it.")] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service",
            help="A service's file, or NAME=REPOSITORY[#BRANCH]; repeatable. Without, all are taken for registered.",
        ),
    ] = None,
    send: Annotated[str | None, typer.Option("--send", metavar="URL", help="Sign it and send it to this API.")] = None,
    secret_file: Annotated[Path | None, typer.Option("--secret-file", help="The secret to sign with.")] = None,
    manifests: Manifests = None,
    as_json: AsJson = False,
) -> None:
    """What a captured payload would do: the event, the rule that matches and why the others do not, the action.

    Nothing is done, unless --send is given. Exit code 0 also when no rule matches; 1 when an action, or the whole
    delivery with --send, is refused; 2 when it cannot be read or the API does not answer.
    """
    chosen = _chosen(_providers(manifests), provider)
    captured, body = _captured(_bytes(payload, "--payload"))
    given = {**captured, **_header_file(headers), **_header_options(header or [])}
    _add_content_type(given, body)
    if event is not None:
        _add_event(chosen, given, event)
    if send is not None:
        _send(chosen, send, secret_file, body, given, as_json=as_json)
        return
    delivery = _delivery(chosen, body, given, event)
    _require_event(chosen, delivery)
    _show(chosen, delivery, _services(service), as_json=as_json)


def _providers(manifests: Path | None) -> "Mapping[str, Provider]":
    from api.webhooks.loading import BadManifests, load_providers

    try:
        return load_providers(manifests)
    except BadManifests as error:
        raise CliError(str(error), USAGE) from None


def _chosen(providers: "Mapping[str, Provider]", name: str) -> "Provider":
    from difflib import get_close_matches

    if name not in providers:
        near = get_close_matches(name.lower(), providers, n=1, cutoff=0.6)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise CliError(f"There is no provider {name!r}.{meant} There are: {', '.join(providers)}.", USAGE)
    return providers[name]


def _delivery(provider: "Provider", body: bytes, headers: Mapping[str, str], event: str | None) -> "Delivery":
    from dataclasses import replace

    from api.webhooks.payloads import UnreadableBody, parse_payload
    from api.webhooks.rules import read_delivery

    try:
        value = parse_payload(body, headers.get("content-type", ""), provider.manifest.form_field)
    except UnreadableBody as error:
        raise CliError(f"--payload cannot be read as the API would. {error}", USAGE) from None
    delivery = read_delivery(provider, value, headers, {}, body)
    return delivery if event is None else replace(delivery, event=event)


def _require_event(provider: "Provider", delivery: "Delivery") -> None:
    """Raises CliError where no rule can match, since each is for events with a name and nothing tells this one's."""
    rules = provider.manifest.rules
    if delivery.event is not None or not all(rule.on for rule in rules):
        return
    events = ", ".join(dict.fromkeys(event for rule in rules for event in rule.on))
    header = _header_of(provider.event.text)
    where = "the payload does not tell it" if header is None else f"no --header or --headers tells {header}"
    raise CliError(f"--event is missing, and {where}. Events of {provider.name}: {events}.", USAGE)


def _show(
    provider: "Provider", delivery: "Delivery", services: "Sequence[KnownService] | None", *, as_json: bool
) -> None:
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


def _send(
    provider: "Provider", url: str, secret_file: Path | None, body: bytes, headers: dict[str, str], *, as_json: bool
) -> None:
    """As the tool would send it. A refusal by the API ends with exit code 1."""
    import httpx

    from api.webhooks.verify import sign

    if secret_file is None:
        raise CliError("--send needs --secret-file: the file with the secret that the API knows.", USAGE)
    words = _bytes(secret_file, "--secret-file").decode("utf-8", "replace").split()
    if not words:
        raise CliError(f"--secret-file {secret_file} is empty.", USAGE)
    _add_delivery(provider, headers)
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


def _told(answer: Any) -> list[tuple[str, object]]:
    if not isinstance(answer, dict):
        return []
    fields = cast(dict[str, Any], answer)
    shown: list[tuple[str, object]] = [
        (name.capitalize(), fields.get(name)) for name in ("status", "rule", "reason", "message", "detail")
    ]
    actions = cast(list[dict[str, Any]], fields.get("actions") or [])
    return [*shown, *((str(action.get("action")), action.get("url") or action.get("status")) for action in actions)]


def _services(options: Sequence[str] | None) -> "list[KnownService] | None":
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


def _captured(content: bytes) -> tuple[dict[str, str], bytes]:
    """A body, or a whole request: ``{"headers": {…}, "body": "…"}``."""
    try:
        found: Any = json.loads(content)
    except ValueError:
        return {}, content
    if not isinstance(found, dict) or set(cast(dict[str, Any], found)) != {"headers", "body"}:
        return {}, content
    fields = cast(dict[str, Any], found)
    if not isinstance(fields["headers"], dict) or not isinstance(fields["body"], str):
        return {}, content
    headers = cast(dict[str, Any], fields["headers"])
    return {name.lower(): str(value) for name, value in headers.items()}, fields["body"].encode()


def _header_file(path: Path | None) -> dict[str, str]:
    """``Name: value`` lines, as curl and tools show them; also a JSON object."""
    if path is None:
        return {}
    text = _bytes(path, "--headers").decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise CliError(f"--headers {path} is no JSON: {error}", USAGE) from None
        return {name.lower(): str(value) for name, value in found.items()}
    return _header_options([line for line in text.splitlines() if line.strip() and not line.startswith("#")])


def _header_options(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        colon, equals = line.find(":"), line.find("=")
        at = equals if colon < 0 or 0 <= equals < colon else colon
        if at <= 0:
            raise CliError(f"The header {line!r} is neither NAME=VALUE nor 'NAME: VALUE'.", USAGE)
        found[line[:at].strip().lower()] = line[at + 1 :].strip()
    return found


def _add_content_type(headers: dict[str, str], body: bytes) -> None:
    """A captured form looks like one; everything else is JSON."""
    form = not body.lstrip().startswith((b"{", b"[")) and b"=" in body
    headers.setdefault("content-type", "application/x-www-form-urlencoded" if form else "application/json")


def _add_event(provider: "Provider", headers: dict[str, str], event: str) -> None:
    """Where the event is a header and nothing else, --event is that header."""
    name = _header_of(provider.event.text)
    if name is not None:
        headers[name] = event


def _add_delivery(provider: "Provider", headers: dict[str, str]) -> None:
    """A request of its own: without the captured id, it is a new delivery."""
    name = None if provider.delivery is None else _header_of(provider.delivery.text)
    if name is not None:
        headers.setdefault(name, str(uuid.uuid4()))


def _header_of(expression: str) -> str | None:
    """``headers."x-name"`` → ``x-name``."""
    quoted = expression.removeprefix(_EVENT_HEADER)
    return quoted[:-1] if quoted != expression and quoted.endswith('"') and quoted.count('"') == 1 else None


def _bytes(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CliError(f"{option} {path} cannot be read ({error.strerror}).", USAGE) from None
