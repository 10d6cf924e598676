"""Chains of deployments: which links run, in which order, for each thing that is done with a record.

Reads are logged at DEBUG: they are many and change nothing. Deliberately not here: which change is which operation
(``transitions``) and who runs a chain (``writers``, ``readers``).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from logging import DEBUG
from typing import Final

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain, chain_of
from activities.chaining.links import Link
from activities.deployments.links import (
    CountDeployments,
    CreateDeployment,
    ListDeployments,
    ListDeploymentsByService,
    ReadDeploymentStats,
    RecordProductionDeployment,
    RecordRollback,
    RecordStagingDeployment,
    ReopenDeployment,
    RetrieveDeployment,
    SerializeDeployment,
    UpdateDeployment,
    ValidateDeploymentCreation,
)
from activities.deployments.transitions import DeploymentOperation
from activities.stores.interfaces.deployments import DeploymentStore

LIFECYCLE: Final[Mapping[DeploymentOperation, tuple[str, Callable[[DeploymentStore], Link]]]] = {
    DeploymentOperation.PREPARE: (
        "PrepareDeployment",
        partial(UpdateDeployment, operation=DeploymentOperation.PREPARE),
    ),
    DeploymentOperation.STAGING: ("StageDeployment", RecordStagingDeployment),
    DeploymentOperation.PRODUCTION: ("PromoteDeployment", RecordProductionDeployment),
    DeploymentOperation.ROLLBACK: ("RollBackDeployment", RecordRollback),
    DeploymentOperation.END: ("EndDeployment", partial(UpdateDeployment, operation=DeploymentOperation.END)),
    DeploymentOperation.REOPEN: ("ReopenDeployment", ReopenDeployment),
}
"""The one chain, by its name, and the link in it that writes each operation's changes, but for a record's creation."""


def build_deployment_creation_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in; ``deployment``, ``serialized`` and ``outcome`` out.

    A validation error stops the chain before anything is written.
    """
    links = [ValidateDeploymentCreation(), SerializeDeployment(), CreateDeployment(store)]
    return build_chain("DeploymentCreation", links, middleware)


def build_deployment_lifecycle_chain(
    store: DeploymentStore, operation: DeploymentOperation, middleware: Sequence[Middleware] = ()
) -> NamedChain:
    """``write`` in, ``outcome`` out, for the changes of this operation."""
    name, link = LIFECYCLE[operation]
    return build_chain(name, [SerializeDeployment(), link(store)], middleware)


build_retrieve_deployment_chain: Final = chain_of(RetrieveDeployment, level=DEBUG)
build_list_deployments_chain: Final = chain_of(ListDeployments, level=DEBUG)
build_list_deployments_by_service_chain: Final = chain_of(ListDeploymentsByService, level=DEBUG)
build_deployment_stats_chain: Final = chain_of(ReadDeploymentStats, "DeploymentStats", level=DEBUG)
build_deployment_count_chain: Final = chain_of(CountDeployments, "DeploymentCount", level=DEBUG)
