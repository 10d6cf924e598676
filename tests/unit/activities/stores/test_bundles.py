"""What is refused of a bundle before a library makes anything of it."""

import hashlib
import io
import struct
import tracemalloc
import zipfile

import pytest

from activities.stores.bundles import read_bundle
from workflows.contracts.attempts import MAX_BUNDLE_BYTES, MAX_BUNDLED_FILES
from workflows.contracts.errors import ValidationFailed


def a_bundle(count: int, comment: bytes = b"") -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.comment = comment
        for number in range(count):
            entry = zipfile.ZipInfo(f"{number}.txt")
            entry.comment = hashlib.sha256(b"x").hexdigest().encode()
            archive.writestr(entry, b"x")
    return body.getvalue()


def only_a_directory(entries: int) -> bytes:
    """Of files that are not there; its end says that it is one."""
    one = struct.pack("<4s42xB", b"PK\x01\x02", 0)
    name_length = 28
    one = one[:name_length] + b"\x01\x00" + one[name_length + 2 :]
    return one * entries + struct.pack("<4s4xHHLLH", b"PK\x05\x06", 1, 1, len(one) * entries, 0, 0)


def test_as_many_files_as_may_be() -> None:
    assert len(read_bundle(io.BytesIO(a_bundle(MAX_BUNDLED_FILES)))) == MAX_BUNDLED_FILES
    assert read_bundle(io.BytesIO(a_bundle(0))) == []
    with pytest.raises(ValidationFailed, match=f"has {MAX_BUNDLED_FILES + 1} files"):
        read_bundle(io.BytesIO(a_bundle(MAX_BUNDLED_FILES + 1)))


@pytest.mark.parametrize("entries", [20_000, MAX_BUNDLE_BYTES // 47 - 1])
def test_a_list_without_end_is_not_read(entries: int) -> None:
    """It took 10 s and 200 MiB to say so."""
    body = io.BytesIO(only_a_directory(entries))
    tracemalloc.start()
    try:
        with pytest.raises(ValidationFailed, match="at most"):
            read_bundle(body)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "body", [b"", b"PK\x05\x06", a_bundle(2, b"a comment"), a_bundle(2)[:-1], a_bundle(2) + b"more", b"\0" * 100]
)
def test_what_does_not_end_as_a_zip_does(body: bytes) -> None:
    with pytest.raises(ValidationFailed, match="no zip"):
        read_bundle(io.BytesIO(body))


def test_an_end_of_64_bits_is_no_way_round_it() -> None:
    whole = a_bundle(2)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    with pytest.raises(ValidationFailed, match="without 64-bit sizes"):
        read_bundle(io.BytesIO(whole[:-22] + locator + whole[-22:]))
