"""Whether this process knows where the records are, and has the credentials to get there.

Asked once at its start: a process that could never read a record says so and ends, instead of warning for ever.
"""

import os
from collections.abc import Callable, Mapping

from activities.stores.dynamo.client import has_credentials
from activities.stores.settings import StoreSettings


class StoresNotConfigured(ValueError):
    """The message is for the person who started the process."""


def check_configured(
    settings: StoreSettings,
    environment: Mapping[str, str] = os.environ,
    *,
    has_credentials: Callable[[], bool] = has_credentials,
) -> None:
    """Nobody means the real AWS by saying nothing; whoever means it needs credentials from one of AWS's own sources.

    Raises StoresNotConfigured.
    """
    if settings.dynamodb_endpoint_url is not None:
        return
    silent = not any(name.startswith("AWS_") for name in environment)
    if settings.environment == "development" and silent:
        raise StoresNotConfigured(
            "Nothing says where records are kept: run `hybridci up`, which starts everything, or set "
            "DYNAMODB_ENDPOINT_URL (and S3_ENDPOINT_URL) to a running server, or AWS_REGION and credentials to use AWS."
        )
    if not has_credentials():
        raise StoresNotConfigured(
            f"There are no credentials for AWS, where the records of ENVIRONMENT={settings.environment} are kept: give "
            "this process a role (of its instance, task or service account), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY; for another server than AWS set DYNAMODB_ENDPOINT_URL."
        )
