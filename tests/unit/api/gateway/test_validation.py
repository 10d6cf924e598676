"""How a gateway asks the API whose a token is."""

from api.gateway.validation import Caller, NoAgent, Validator
from tests.gateway.surroundings import FakeApi
from workflows.version import product_version


async def test_it_says_its_version_when_it_asks() -> None:
    with FakeApi().serving() as api:
        api.knows("token-1", "agent-1")
        validator = Validator(api.url)
        try:
            assert await validator.validate("token-1") == Caller("agent-1", "alpha")
            assert await validator.validate("token-2") == NoAgent(known=False)
        finally:
            validator.close()
    assert api.names == [f"hybridci-gateway/{product_version()}"] * 2
