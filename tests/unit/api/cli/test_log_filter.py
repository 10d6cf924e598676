"""Lines with a text, of a log that comes cut anywhere."""

from io import BytesIO

import pytest

from api.cli.client.log_filter import MatchingLines

LOG = b"error 1\n\nfine\nan error\r\n\xff error \xfe\n" + b"x" * 5000 + b"error\nerr\nor\nlast error"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096, 1 << 20])
def test_it_does_not_matter_where_it_is_cut(size: int) -> None:
    sink = BytesIO()
    lines = MatchingLines(sink, "error")
    for start in range(0, len(LOG), size):
        lines.write(LOG[start : start + size])
    lines.close()
    assert sink.getvalue() == b"".join(line + b"\n" for line in LOG.split(b"\n") if b"error" in line)
