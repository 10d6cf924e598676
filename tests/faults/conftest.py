"""One embedded stack for all fault tests: two agents in pool `default`; what the supervisor restarts comes back."""

from collections.abc import Iterator

import pytest

from tests.faults.plant import Plant


@pytest.fixture(scope="package")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    plant = Plant(tmp_path_factory.mktemp("plant"))
    plant.start("--agents", "2", "--agent-capacity", "4")
    try:
        yield plant
    finally:
        plant.close()
