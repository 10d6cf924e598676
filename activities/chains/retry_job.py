"""Queue chain RetryJob: RecordJobExecution. For when an attempt has ended and another one follows."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chains.support import NamedChain, build_chain
from activities.links.record_job_execution import RecordJobExecution
from activities.links.transitions import Operation
from activities.stores.interfaces import JobStore


def build_retry_job_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("RetryJob", [RecordJobExecution(store, Operation.RETRY)], middleware)
