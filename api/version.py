"""The version of what runs."""

from importlib.metadata import version


def product_version() -> str:
    """As installed."""
    return version("hybrid-ci-cd")
