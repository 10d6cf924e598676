"""What a deployment says of its jobs and nobody else may: agents, their filters, targets and lists trust it. Pure.

A free job that says it is refused by whoever takes it from a caller. Deliberately not here: which pools are for
deployments (``api.identity.pools``), and how an agent knows a deployment's job by itself (``attempts.signed_bytes``).
"""

from collections.abc import Iterable, Iterator
from typing import Final

from workflows.contracts.errors import FieldError
from workflows.contracts.folding import folded
from workflows.contracts.jobs import JobSpec

RESERVED_JOB_TYPES: Final = frozenset({"definition", "source", "deploy", "health", "verify", "rollback"})
"""Only deployments run these. ``build`` and ``test`` are everybody's."""
RESERVED_LABELS: Final = frozenset({"deployment", "version"})
"""``service`` is not among them: by it a job belongs to a service, for whoever's grants reach that service."""
RESERVED_VARIABLES: Final = frozenset(
    {
        "HYBRIDCI_SERVICE",
        "HYBRIDCI_VERSION",
        "HYBRIDCI_DEPLOYMENT_ID",
        "HYBRIDCI_ENVIRONMENT",
        "HYBRIDCI_PREVIOUS_VERSION",
        "HYBRIDCI_ROLLOUT_PERCENT",
        "HYBRIDCI_FENCE",
        "HYBRIDCI_FENCE_NAME",
        "HYBRIDCI_ON_REF",
    }
)
_ONLY_DEPLOYMENTS: Final = "is for deployments, which set it themselves: leave it out"


def reserved(spec: JobSpec, *, inside: str = "") -> list[FieldError]:
    """The fields by which a free job would pass for a deployment's. ``inside`` goes before their paths."""
    return [error.model_copy(update={"field": f"{inside}{error.field}"}) for error in _reserved(spec)]


def reserved_labels(labels: Iterable[str]) -> Iterator[FieldError]:
    """Those among these labels."""
    for name in sorted(labels):
        if _word(name) in RESERVED_LABELS:
            yield FieldError(field=f"labels.{name}", message=_ONLY_DEPLOYMENTS)


def reserved_variables(env: Iterable[str], field: str = "env") -> Iterator[FieldError]:
    """Those among these variables."""
    for name in sorted(env):
        if name in RESERVED_VARIABLES:
            yield FieldError(field=f"{field}.{name}", message=_ONLY_DEPLOYMENTS)


def is_reserved_type(job_type: str) -> bool:
    """True for what only deployments run, in whatever letters: people would read it as the same."""
    return _word(job_type) in RESERVED_JOB_TYPES


def _reserved(spec: JobSpec) -> Iterator[FieldError]:
    if is_reserved_type(spec.job_type):
        what = f"{spec.job_type!r} is for jobs that a deployment runs: take another word, or start a deployment"
        yield FieldError(field="job_type", message=what)
    yield from reserved_labels(spec.labels)
    yield from reserved_variables(spec.env)
    for number, step in enumerate(spec.steps):
        yield from reserved_variables(step.env, f"steps.{number}.env")
    if spec.fence is not None:
        yield FieldError(field="fence", message=_ONLY_DEPLOYMENTS)
    if spec.approvals:
        yield FieldError(field="approvals", message=_ONLY_DEPLOYMENTS)
    if spec.on_ref is not None:
        yield FieldError(field="on_ref", message=_ONLY_DEPLOYMENTS)


def _word(text: str) -> str:
    return folded(text)
