"""Workload identity: a CI job's or an agent's own OIDC token is exchanged for a short-lived, scoped one (RFC 8693).

So no secret has to be kept in CI or on an agent's host. One token may be exchanged several times while it lives (a job
of several steps has only one); each time is told in the audit trail with the token's fingerprint. Deliberately not
here: whether the token is genuine (``identity.id_tokens``) and which claims are wanted (``identity.policy``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from api.auth.issuing import Issued, issue
from api.auth.origin import origin_for
from api.auth.ports import AuthPorts
from api.auth.principal import Principal
from api.auth.standing import SUBJECT_PREFIX
from api.http.errors import ApiError, ProblemCode
from api.identity.id_tokens import Identity
from api.identity.policy import AccessPolicy, WorkloadRule
from workflows.contracts.access import CredentialKind, Grant
from workflows.contracts.errors import FieldError


async def exchange(ports: AuthPorts, request: Request, identity: Identity, requested: Sequence[Grant] | None) -> Issued:
    """A short-lived token for a genuine one. Raises ApiError forbidden and Unavailable."""
    rule = _rule_for(ports.sign_in.policy, identity, requested or ())
    workload = _principal(rule, requested)
    return await issue(
        ports,
        kind=CredentialKind.TOKEN,
        subject=workload.id,
        name=identity.subject,
        grants=workload.grants,
        ttl_seconds=rule.ttl_seconds,
        by=origin_for(request, workload),
        admission=identity.admission(workload=rule.name),
        reason=identity.told,
    )


def nobody(identity: Identity, section: str) -> ApiError:
    """The refusal of a genuine token that no rule matches: which claims it has, never what they say."""
    email = "" if "email" in identity.claims else ". An `email` counts only with `email_verified`"
    return ApiError(
        ProblemCode.FORBIDDEN,
        f"The token is genuine, but no rule in `{section}` of the access policy matches it. An admin can add one for "
        f"the issuer {identity.issuer.name} with some of the claims that the token has.",
        errors=[FieldError(field="token", message=f"has these claims: {', '.join(_told(identity.claims))}{email}")],
    )


def _told(claims: Mapping[str, Any]) -> list[str]:
    """Names; of a list with what it takes to match one."""
    return [f"{name} (a list: `contains`)" if isinstance(claims[name], list) else name for name in sorted(claims)]


def _rule_for(policy: AccessPolicy, identity: Identity, wanted: Sequence[Grant]) -> WorkloadRule:
    """The first rule that matches and covers what is wanted."""
    matching = policy.workloads_of(identity.issuer.name, identity.claims)
    if not matching:
        raise nobody(identity, "workloads")
    found = next((rule for rule in matching if all(_principal(rule).holds(grant) for grant in wanted)), None)
    if found is None:
        names = ", ".join(rule.name for rule in matching)
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"What is requested goes further than this workload's grants ({names}). Request less, leave `requested` "
            "out to get all of them, or have an admin widen the access policy.",
        )
    return found


def _principal(rule: WorkloadRule, requested: Sequence[Grant] | None = None) -> Principal:
    grants = tuple(requested or rule.grants)
    return Principal(id=f"{SUBJECT_PREFIX}{rule.name}", kind=CredentialKind.TOKEN, grants=grants)
