"""That a small measurement of lines yields a result."""

from pathlib import Path

from tests import servers
from tests.benchmarks.log_lines import measure


async def test_a_line_of_a_log_that_grows_is_found(tmp_path: Path) -> None:
    with servers.aws_endpoint(tmp_path) as endpoint:
        figures = await measure(endpoint, 1 << 20, 64 * 64, line=9_000)
    assert figures.found == b"".join(b"%-63d\n" % number for number in range(9_000, 9_045))
    assert figures.size > 1 << 20
    assert len(figures.looks) == 40
