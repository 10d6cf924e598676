"""Chains of retention: which links run, in which order. Objects first, the record last."""

from collections.abc import Sequence
from logging import DEBUG
from typing import Final

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain, chain_of
from activities.clock import Clock
from activities.retention.links import (
    MarkRemoval,
    RemoveArtifacts,
    RemoveDeploymentRecord,
    RemoveJobRecord,
    RemoveLogs,
)
from activities.stores.interfaces.artifacts import ArtifactStore
from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.logs import LogStore


def build_remove_job_chain(
    jobs: JobStore, logs: LogStore, artifacts: ArtifactStore, middleware: Sequence[Middleware] = ()
) -> NamedChain:
    """``job`` in; ``removed`` out."""
    links = [RemoveLogs(logs), RemoveArtifacts(artifacts), RemoveJobRecord(jobs)]
    return build_chain("RemoveJob", links, middleware, level=DEBUG)


def build_remove_logs_chain(
    jobs: JobStore, logs: LogStore, middleware: Sequence[Middleware] = (), *, clock: Clock
) -> NamedChain:
    """``job`` in; ``removed`` out."""
    return build_chain("RemoveLogs", [RemoveLogs(logs), MarkRemoval(jobs, clock=clock)], middleware, level=DEBUG)


def build_remove_artifacts_chain(
    jobs: JobStore, artifacts: ArtifactStore, middleware: Sequence[Middleware] = (), *, clock: Clock
) -> NamedChain:
    """``job`` in; ``removed`` out."""
    links = [RemoveArtifacts(artifacts), MarkRemoval(jobs, clock=clock)]
    return build_chain("RemoveArtifacts", links, middleware, level=DEBUG)


build_remove_deployment_chain: Final = chain_of(RemoveDeploymentRecord, "RemoveDeployment", level=DEBUG)
