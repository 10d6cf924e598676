"""How deployments look in lists, in `deploy show` and in the trail of who did what.

Deliberately not here: the moving view (``watch``) and why something failed (``advice``).
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from api.cli.client.http import SERVICES, ApiClient, ApiRefused
from api.cli.commands.common import tell_more
from api.cli.commands.deployments.advice import find_failure, next_steps, print_failure
from api.cli.commands.deployments.view import (
    commit_order,
    in_git,
    live_again,
    rollback_readiness,
    rollback_words,
    shortened,
    state,
    way_rows,
)
from api.cli.output import Column, age, clock, now_ms, print_fields, print_json, print_table, say, span
from api.wording import status_word
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.deployment import Decision, Deployment, DeploymentSummary, MetricSample
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.deployments.line import EnvironmentShown, LineStop, StopKind
from workflows.contracts.deployments.metrics import Sample

_SHORT_ID: Final = 8
_SHORT_SHA: Final = 12


def show_deployments(page: dict[str, Any], *, as_json: bool, everything: bool) -> None:
    """A page of deployments as the API gave it."""
    if as_json:
        print_json(page["items"] if everything else page)
        return
    found = [DeploymentSummary.model_validate(item) for item in page["items"]]
    if not found:
        say("No deployments.")
        return
    columns = (
        Column("DEPLOYMENT", key=True), Column("SERVICE", keep=True), Column("VERSION", keep=True),
        Column("STATUS", keep=True), Column("IN", rank=1), Column("COMMIT", rank=4), Column("AUTHOR", rank=3),
        Column("CREATED", keep=True, rank=2), Column("WAITS FOR / WHY"),
    )  # fmt: skip
    print_table(columns, [_row(each) for each in found])
    tell_more(page, "deployments", always=False)


def print_deployment(deployment: Deployment, api: ApiClient) -> None:
    """Everything about one deployment, why it failed, and what to do next."""
    environment = environment_state(deployment, api)
    _print_facts(deployment, api)
    say()
    print_way(deployment)
    _print_approvals(deployment)
    if environment is not None:
        say(f"\nEnvironment {environment.environment}")
        for line in environment_lines(environment):
            say(f"  {line}")
    failure = find_failure(deployment, api)
    if failure is not None:
        print_failure(deployment, failure, api)
    say("\nNext")
    for line in next_steps(deployment, api, environment):
        say(f"  {line}")


def print_way(deployment: Deployment) -> None:
    """The way of the deployment, one line for each job before its environments and for each environment."""
    columns = (
        Column("STAGE", keep=True), Column("STATUS", keep=True), Column("%", keep=True, right=True),
        Column("APPROVALS", rank=3), Column("BEFORE", rank=2), Column("TOOK", right=True, rank=4),
        Column("JOBS", rank=1, whole=True),
    )  # fmt: skip
    rows = [
        (
            row.name, row.status, row.percent, row.approvals, row.previous, _between(row.started_at, row.ended_at),
            " ".join(job_id[:_SHORT_ID] if len(job_id) == 36 else job_id for job_id in row.job_ids) or None,
        )
        for row in way_rows(deployment)
    ]  # fmt: skip
    if rows:
        print_table(columns, rows)
    else:
        say("Its stages are read from the repository first.")


def environment_state(deployment: Deployment, api: ApiClient) -> EnvironmentState | None:
    """The environment where the deployment stands; None before the first, or when nothing was ever rolled out there."""
    rollback = deployment.rollback
    name = rollback.environment if rollback is not None else deployment.environment
    if name is None:
        return None
    try:
        found: Any = api.get(f"{SERVICES}/{deployment.service_name}/environments/{name}")
    except ApiRefused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None
    return EnvironmentState.model_validate(found)


def environment_lines(environment: EnvironmentState) -> list[str]:
    """What is live there, who works on it, what holds it, who waits."""
    live, holder, hold = environment.live, environment.holder, environment.hold
    lines = [f"Live: {live.version} since {moment(live.since)}" if live else "Live: nothing yet"]
    if live is not None and environment.rollback is not None and environment.rollback.live == live.deployment_id:
        lines.append(f"Rollback: {rollback_readiness(environment.rollback)}")
    if holder is not None and not holder.live:
        lines.append(f"Rolling out: {holder.version} (deployment {holder.deployment_id[:_SHORT_ID]})")
    if hold is not None:
        lines.append(f"ON HOLD by {hold.by} since {moment(hold.at)}: {shortened(hold.reason)}")
    if environment.frozen_until is not None:
        lines.append(f"FROZEN until {clock(environment.frozen_until)} by {environment.frozen_by or 'a freeze'}")
    if isinstance(environment, EnvironmentShown):
        lines += [_of_line(stop) for stop in environment.line_stops]
    waiting = [
        f"{ticket.version} ({ticket.deployment_id[:_SHORT_ID]}{'' if ticket.ready else ', not approved'})"
        for ticket in environment.queue
    ]
    return [*lines, f"Waiting: {', '.join(waiting)}"] if waiting else lines


def _of_line(stop: LineStop) -> str:
    end = "until it is released" if stop.ends_at is None else f"until {clock(stop.ends_at)}"
    command = f"hybridci {'hold release' if stop.kind is StopKind.HOLD else 'freeze remove'} {stop.stop_id}"
    word = "ON HOLD" if stop.kind is StopKind.HOLD else "FROZEN"
    begins = f"{word} from {clock(stop.starts_at)} on" if stop.starts_at > now_ms() else word
    return f"{begins} with {stop.scope.words()}, {end}, by {stop.by}: {shortened(stop.reason)} (`{command}`)"


def print_events(events: Sequence[AuditEvent]) -> None:
    """The trail, oldest first."""
    if not events:
        say("No events.")
        return
    columns = (
        Column("WHEN", keep=True), Column("WHAT", keep=True), Column("BY", keep=True), Column("VIA", rank=2),
        Column("FROM", rank=3), Column("IN", rank=1), Column("WHY"),
    )  # fmt: skip
    print_table(
        columns,
        [
            (
                clock(event.at), event.action, event.by or None, event.via or None, event.address, event.environment,
                _why(event),
            )
            for event in events
        ],
    )  # fmt: skip


def _why(event: AuditEvent) -> str | None:
    """What somebody said, and what is to be known of it."""
    said = [_first_line(event.reason), _first_line(event.message)]
    return "; ".join(each for each in said if each is not None) or None


def moment(then: int | None) -> str | None:
    """A time and how long ago that is."""
    return None if then is None else f"{clock(then)} ({age(then)})"


def _row(deployment: DeploymentSummary) -> tuple[object, ...]:
    why = deployment.waits_for or deployment.error_message
    return (
        deployment.deployment_id[:_SHORT_ID], deployment.service_name, deployment.version, status_word(deployment),
        deployment.environment, deployment.git_commit_sha[:10], deployment.git_author, age(deployment.created_at),
        "; ".join((*deployment.remarks, _first_line(why) or "")).removesuffix("; ") or None,
    )  # fmt: skip


def _print_facts(deployment: Deployment, api: ApiClient) -> None:
    ref = f" ({deployment.git_ref})" if deployment.git_ref else ""
    by, doubt = f" by {deployment.created_by}" if deployment.created_by else "", deployment.start_doubt
    shown_rows = [row for row in deployment.metric_rows if row.environment == deployment.environment]
    # A failed rollback's message is told where it says why it failed.
    waits_for = api.reachable(deployment.waits_for) if deployment.waits_for and not deployment.status.final else None
    print_fields(
        [
            ("Deployment", deployment.deployment_id),
            ("Service", f"{deployment.service_name}, definition {deployment.service_version}"),
            ("Version", deployment.version),
            ("Status", status_word(deployment)),
            ("State", state(deployment) if not deployment.status.final else None),
            ("Waits for", waits_for),
            ("Commit", f"{deployment.git_commit_sha[:_SHORT_SHA]}{ref} by {deployment.git_author}"),
            ("In git", in_git(deployment)),
            ("Message", _first_line(deployment.git_commit_message)),
            ("Repository", deployment.git_repo),
            ("Created", f"{moment(deployment.created_at)}{by}"),
            ("Order", commit_order(deployment)),
            ("Older allowed", deployment.allow_older),
            ("Unverified", doubt and f"nobody knows who started it: {doubt}"),
            ("Live", moment(deployment.live_at)),
            ("Ended", moment(deployment.completed_at)),
            ("Superseded", f"by {deployment.superseded_by}" if deployment.superseded_by else None),
            ("Live again", live_again(deployment)),
            ("Rollback", rollback_words(deployment.rollback) if deployment.rollback else None),
            ("Metrics", _metrics(deployment.metrics)),
            *(
                (f"  {row.metric}", f"{row.verdict}: {row.words}, by {row.source} ({age(row.at)})")
                for row in shown_rows
            ),
            ("Metadata", ", ".join(f"{key}={value}" for key, value in deployment.metadata.items()) or None),
        ]
    )


def _print_approvals(deployment: Deployment) -> None:
    if not deployment.approvals:
        return
    say()
    columns = (
        Column("DECISION", keep=True), Column("FOR", keep=True), Column("BY", keep=True), Column("WHEN", rank=1),
        Column("MARKS", keep=True), Column("COMMENT"),
    )  # fmt: skip
    words = {Decision.APPROVE: "approved", Decision.REJECT: "rejected"}
    print_table(
        columns,
        [
            (
                words[entry.decision] if entry.counts else f"{words[entry.decision]}, counts no more",
                entry.environment,
                entry.by,
                moment(entry.at),
                "; ".join(entry.marks) or None,
                _first_line(entry.comment),
            )
            for entry in deployment.approvals
        ],
    )


def print_samples(page: dict[str, Any], *, as_json: bool) -> None:
    """Samples of metrics, newest first."""
    if as_json:
        print_json(page)
        return
    samples = [Sample.model_validate(item) for item in page["items"]]
    if not samples:
        say("No samples.")
        return
    columns = (
        Column("WHEN", keep=True), Column("METRIC", keep=True), Column("VALUE", keep=True), Column("SOURCE"),
        Column("ENVIRONMENT", rank=1),
    )  # fmt: skip
    print_table(
        columns,
        [(moment(each.at), each.metric, f"{each.value:g}", each.source, each.environment) for each in samples],
    )
    tell_more(page, "samples", always=False)


def _metrics(sample: MetricSample | None) -> str | None:
    if sample is None:
        return None
    values = (
        ("error rate", None if sample.error_rate is None else f"{sample.error_rate:.2%}"),
        ("latency", None if sample.latency_ms is None else f"{sample.latency_ms:g} ms"),
        ("requests", None if sample.requests_per_sec is None else f"{sample.requests_per_sec:g}/s"),
    )
    words = ", ".join(f"{name} {value}" for name, value in values if value is not None)
    breaches = f"; OVER THE LIMIT: {', '.join(sample.breaches)}" if sample.breaches else ""
    return f"{words} ({age(sample.at)}){breaches}"


def _between(start: int | None, end: int | None) -> str | None:
    return None if start is None or end is None else span(max(end - start, 0) / 1000)


def _first_line(text: str | None) -> str | None:
    lines = text.strip().splitlines() if text else []
    return lines[0] if lines else None
