"""Chain RecordEnvironment: RecordEnvironment. For each change of an environment's lock."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.environments.links import RecordEnvironment
from activities.stores.interfaces import EnvironmentStore


def build_record_environment_chain(store: EnvironmentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("RecordEnvironment", [RecordEnvironment(store)], middleware)
