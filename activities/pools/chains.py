"""Chains of pools, of one link each. Reads are logged at DEBUG: they are many and change nothing."""

from logging import DEBUG
from typing import Final

from activities.chaining.chains import chain_of
from activities.pools.links import ListDemands, ListPools, PinSealingKeys, RetrievePool, ScalePool

build_scale_pool_chain: Final = chain_of(ScalePool)
build_pin_sealing_keys_chain: Final = chain_of(PinSealingKeys)
build_retrieve_pool_chain: Final = chain_of(RetrievePool, level=DEBUG)
build_list_pools_chain: Final = chain_of(ListPools, level=DEBUG)
build_list_demands_chain: Final = chain_of(ListDemands, level=DEBUG)
