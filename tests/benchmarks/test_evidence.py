"""That a small measurement of sealing and verifying yields a result."""

from pathlib import Path

from tests import servers
from tests.benchmarks.evidence import measure


async def test_a_small_trail_is_sealed_and_verified(tmp_path: Path) -> None:
    with servers.aws_endpoint(tmp_path) as endpoint:
        figures = await measure(endpoint, 61)
    assert (figures.summary.clean, figures.summary.sealed) == (True, 61)
    assert figures.seals == 2
