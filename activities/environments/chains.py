"""Chains of environments, of one link each. Reads are logged at DEBUG: they are many and change nothing."""

from logging import DEBUG
from typing import Final

from activities.chaining.chains import chain_of
from activities.environments.links import FindEnvironments, ListEnvironments, RecordEnvironment, RetrieveEnvironment

build_record_environment_chain: Final = chain_of(RecordEnvironment)
build_retrieve_environment_chain: Final = chain_of(RetrieveEnvironment, level=DEBUG)
build_list_environments_chain: Final = chain_of(ListEnvironments, level=DEBUG)
build_find_environments_chain: Final = chain_of(FindEnvironments, level=DEBUG)
