"""What a manifest may say: how one tool's webhooks are verified and which actions its events stand for.

Every string under ``when``, ``each``, ``key``, ``service``, ``with``, ``event``, ``delivery`` and ``answer`` is
a JMESPath expression (``expressions``); a literal is written ``'in quotes'``. Deliberately not here: compiling and
reading files (``loading``), deciding (``rules``), and what an action does (``actions``).
"""

import string
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from api.webhooks.triggering.facts import TriggerFacts
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.commands import Approve, RecordStage, Reject, ReportMetrics, RollbackCommand
from workflows.contracts.deployments.deliveries import CATCH_UP
from workflows.contracts.deployments.deployment import DeploymentRequest
from workflows.contracts.deployments.environments import HoldCommand
from workflows.contracts.jobs import JobSpec
from workflows.contracts.refusals.places import close_names

PROVIDER_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
ProviderName = Annotated[str, StringConstraints(pattern=PROVIDER_PATTERN)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]
RESERVED: Final = frozenset({CATCH_UP, "deliveries"})
"""Who acts where no webhook told, and the address of what is kept."""
Tolerance = Annotated[int, Field(ge=1, le=3600)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Expr = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Timestamp(Frozen):
    """Where a signature's time (seconds since the epoch) is, and how far it may be from now."""

    header: HeaderName
    prefix: str = ""
    tolerance_seconds: Tolerance = 300


class HmacScheme(Frozen):
    """A keyed digest in a header, of the body or of a text made of the body and headers.

    The header's value is split at commas; parts that begin with ``prefix`` are signatures without it, and one that fits
    is enough. ``content`` holds ``{body}`` once, and may hold ``{timestamp}`` and ``{header:Name}``.
    """

    scheme: Literal["hmac-sha256", "hmac-sha512"]
    header: HeaderName
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    key_encoding: Literal["text", "base64"] = "text"
    content: str = "{body}"
    timestamp: Timestamp | None = None

    @model_validator(mode="after")
    def _signs_the_body(self) -> Self:
        try:
            fields = [(name, spec) for _, name, spec, _ in string.Formatter().parse(self.content) if name is not None]
        except ValueError as error:
            raise ValueError(f"content: {error}; write a brace as {{{{ or }}}}") from None
        if [name for name, _ in fields].count("body") != 1:
            raise ValueError("content must hold {body} once: what is not signed cannot be trusted")
        unknown = [
            name for name, spec in fields if name not in {"body", "timestamp"} and (name != "header" or not spec)
        ]
        if unknown:
            raise ValueError(f"content holds {unknown[0]!r}; there are {{body}}, {{timestamp}} and {{header:Name}}")
        if (self.timestamp is None) == any(name == "timestamp" for name, _ in fields):
            raise ValueError("timestamp and {timestamp} in content go together: an unsigned time proves nothing")
        return self


class StandardScheme(Frozen):
    """Standard Webhooks: headers webhook-id, webhook-timestamp and webhook-signature, a ``whsec_…`` secret."""

    scheme: Literal["standard-webhooks"]
    tolerance_seconds: Tolerance = 300


class TokenScheme(Frozen):
    """The secret itself, in a header (after ``prefix``) or a query parameter."""

    scheme: Literal["token"]
    header: HeaderName | None = None
    query: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    prefix: str = ""

    @model_validator(mode="after")
    def _in_one_place(self) -> Self:
        if (self.header is None) == (self.query is None):
            raise ValueError("a token is in a header or in a query parameter: give one of them")
        return self


class BasicScheme(Frozen):
    """HTTP Basic; the secret is ``user:password``."""

    scheme: Literal["basic"]


Scheme = Annotated[HmacScheme | StandardScheme | TokenScheme | BasicScheme, Field(discriminator="scheme")]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class ActionName(StrEnum):
    """What a rule can do."""

    START_JOB = "start_job"
    START_DEPLOYMENT = "start_deployment"
    APPROVE = "approve"
    REJECT = "reject"
    ROLLBACK = "rollback"
    PAUSE = "pause"
    RECORD_METRICS = "record_metrics"
    RECORD_STAGE = "record_stage"
    IGNORE = "ignore"


class ActionShape(Frozen):
    """The fields of an action's ``with``.

    ``service``: the rule must say of which service; with ``or_deployment``, naming the deployment is enough.
    """

    fields: frozenset[str]
    required: frozenset[str] = frozenset()
    service: bool = False
    or_deployment: bool = False


_SERVERS_OWN: Final = frozenset({"via", "address", "key_id", "vouched"})
"""Of a command: whence it came and who gives it is not for a manifest to say."""


def _shape(model: type[Frozen], *, extra: frozenset[str] = frozenset(), or_deployment: bool = True) -> ActionShape:
    """Of a command: its fields but those that say whence it came, and ``deployment_id`` where one is meant."""
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    fields = {name for name in model.model_fields if name not in _SERVERS_OWN} | extra
    if or_deployment:
        fields.add("deployment_id")
    return ActionShape(
        fields=frozenset(fields),
        required=frozenset(required - {"by", "reason", "environment", "service_name"}),
        service=True,
        or_deployment=or_deployment,
    )


ACTIONS: Final[dict[ActionName, ActionShape]] = {
    ActionName.START_JOB: ActionShape(
        fields=frozenset(JobSpec.model_fields) - {"fence", "approvals", "on_ref"},
        required=frozenset(name for name, field in JobSpec.model_fields.items() if field.is_required()),
    ),
    ActionName.START_DEPLOYMENT: ActionShape(
        fields=frozenset(DeploymentRequest.model_fields) - {"service_name"} | {"git_committer"},
        required=frozenset({"version", "git_commit_sha", "git_author"}),
        service=True,
    ),
    ActionName.APPROVE: _shape(Approve),
    ActionName.REJECT: _shape(Reject, extra=frozenset({"version"})),
    ActionName.ROLLBACK: _shape(RollbackCommand, extra=frozenset({"environment", "since", "incident"})),
    ActionName.PAUSE: _shape(HoldCommand, extra=frozenset({"environment"}), or_deployment=False),
    ActionName.RECORD_METRICS: _shape(ReportMetrics, extra=frozenset({"environment"})),
    ActionName.RECORD_STAGE: _shape(RecordStage),
    ActionName.IGNORE: ActionShape(fields=frozenset()),
}
"""``reason`` of a command defaults to the rule's, ``by`` to ``webhook:<provider>``, ``environment`` to the last one."""


class RepositoryLookup(Frozen):
    """The registered services whose repository is at one of these addresses and, with ``branch``, deploy it."""

    repository: Annotated[list[Expr], Field(min_length=1, max_length=10)]
    branch: Expr | None = None


class Rule(Frozen):
    """One line of the list: the first rule that matches decides.

    It matches when ``on`` holds the event (empty: any), the payload has what it ``needs``, ``when`` holds, ``each`` (a
    list, whose members are ``item``) is not empty and ``service`` (a name, a list of names, or a repository) finds a
    service. ``trigger`` says what happened there: of each service its own triggers then say whether it starts. Without
    it every service found is started. ``key`` names the event: two deliveries with the same key act once.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    on: list[Text] = Field(default_factory=list[str], max_length=64)
    needs: list[Expr] = Field(default_factory=list[str], max_length=16)
    when: Expr | None = None
    each: Expr | None = None
    service: Expr | RepositoryLookup | None = None
    trigger: TriggerFacts | None = None
    key: Expr | None = None
    action: ActionName
    values: dict[str, Any] = Field(default_factory=dict[str, Any], alias="with")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)]

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        shape = ACTIONS[self.action]
        faults: list[str] = []
        unknown = sorted(set(self.values) - shape.fields)
        if unknown:
            known = ", ".join(sorted(shape.fields)) or "no fields"
            close = [name for each in unknown for name in close_names(each, sorted(shape.fields))[:1]]
            meant = f"did you mean {', '.join(close)}? " if close else ""
            faults.append(f"with: {', '.join(unknown)} is not known; {meant}{self.action} takes {known}")
        missing = sorted(shape.required - set(self.values))
        if missing:
            faults.append(f"with: {', '.join(missing)} is needed by {self.action}")
        if shape.service and self.service is None and not (shape.or_deployment and "deployment_id" in self.values):
            other = " (or with.deployment_id)" if shape.or_deployment else ""
            faults.append(f"service{other} is needed: {self.action} must know which one")
        if self.trigger is not None and self.action is not ActionName.START_DEPLOYMENT:
            faults.append("trigger is for start_deployment only")
        if self.trigger is not None and not isinstance(self.service, RepositoryLookup):
            faults.append("trigger needs service.repository: it judges the services of a repository")
        elif (
            self.trigger is not None and isinstance(self.service, RepositoryLookup) and self.service.branch is not None
        ):
            faults.append("service.branch and trigger exclude each other: write trigger.branch")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class AnswerShape(Frozen):
    """For tools that want more than 202 and our JSON: a status, and further fields as expressions over ``answer``."""

    status: Literal[200, 202] = 202
    fields: dict[str, Expr] = Field(default_factory=dict[str, str], max_length=16)


class Manifest(Frozen):
    """One provider. ``docs`` tells an operator what to set up in the tool. ``people`` maps the tool's user ids to the
    names that approvals and authors are known by. ``form_field``: a form carries its JSON there.
    ``sender``: who caused it, as the payload says; only shown.
    """

    name: ProviderName
    title: Text
    docs: Text
    verify: Annotated[list[Scheme], BeforeValidator(_as_list), Field(min_length=1, max_length=4)]
    event: Expr
    delivery: Expr | None = None
    sender: Expr | None = None
    form_field: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    people: dict[str, str] = Field(default_factory=dict[str, str], max_length=10_000)
    rules: Annotated[list[Rule], Field(min_length=1, max_length=64)]
    answer: AnswerShape = AnswerShape()

    @model_validator(mode="after")
    def _is_no_name_of_ours(self) -> Self:
        if self.name in RESERVED:
            raise ValueError(f"name: {self.name} means something here already")
        return self
