"""Chains of the audit trail. Events are written with the records they belong to, by the chains of those."""

from logging import DEBUG
from typing import Final

from activities.chaining.chains import chain_of
from activities.events.links import ListEvents

build_list_events_chain: Final = chain_of(ListEvents, level=DEBUG)
