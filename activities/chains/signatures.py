"""``Signature`` for whoever runs chains; it is defined beside the links, which must not import chains."""

from activities.links.signatures import Signature

__all__ = ["Signature"]
