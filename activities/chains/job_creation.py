"""Chain JobCreation: ValidateJobCreation → CreateJob → SerializeJob."""

from collections.abc import Callable, Sequence

from codeuchain import Middleware

from activities.chains.support import NamedChain, build_chain
from activities.clock import epoch_millis
from activities.links.create_job import CreateJob
from activities.links.serialize_job import SerializeJob
from activities.links.validate_job_creation import ValidateJobCreation
from activities.stores.interfaces import JobStore


def build_job_creation_chain(
    store: JobStore, middleware: Sequence[Middleware] = (), *, clock: Callable[[], int] = epoch_millis
) -> NamedChain:
    """``request`` (and ``job_id`` when it is no whole Job) in; ``job``, ``outcome`` and ``serialized`` out.

    A validation error stops the chain before anything is written.
    """
    links = [ValidateJobCreation(clock=clock), CreateJob(store), SerializeJob()]
    return build_chain("JobCreation", links, middleware)
