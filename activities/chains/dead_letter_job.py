"""Queue chain DeadLetterJob: RecordJobExecution. For when the job is parked, or a parked one was changed."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.jobs.links import RecordJobExecution
from activities.jobs.transitions import Operation
from activities.stores.interfaces import JobStore


def build_dead_letter_job_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("DeadLetterJob", [RecordJobExecution(store, Operation.DEAD_LETTER)], middleware)
