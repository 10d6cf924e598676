"""The version of what runs."""

from functools import cache
from importlib.metadata import version


@cache  # reads a file each time: half a millisecond
def product_version() -> str:
    """As installed."""
    return version("hybrid-ci-cd")
