"""A process that cannot reach its records says so at its start."""

import pytest

from activities.stores.configured import StoresNotConfigured, check_configured
from activities.stores.settings import StoreSettings


def settings(**given: str) -> StoreSettings:
    return StoreSettings.model_validate(given)


def test_in_development_nobody_means_the_real_aws_by_saying_nothing() -> None:
    with pytest.raises(StoresNotConfigured, match="run `hybridci up`"):
        check_configured(settings(environment="development"), {"PATH": "/bin"}, has_credentials=lambda: True)


@pytest.mark.parametrize("environment", ["staging", "development"])
def test_who_means_aws_needs_credentials(environment: str) -> None:
    said = {"AWS_REGION": "eu-west-1"}
    with pytest.raises(StoresNotConfigured, match="There are no credentials for AWS"):
        check_configured(settings(environment=environment), said, has_credentials=lambda: False)
    check_configured(settings(environment=environment), said, has_credentials=lambda: True)


def test_another_server_is_nobodys_business() -> None:
    own = settings(environment="development", dynamodb_endpoint_url="http://127.0.0.1:8001")
    check_configured(own, {}, has_credentials=lambda: False)
