"""The payload codec: sealed, opened, rotated, refused."""

from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from api.cli import processes
from workflows.contracts.commands import Cancel
from workflows.payloads.codec import CodecSettings, data_converter, load_codec
from workflows.payloads.errors import UnreadablePayload, UnusableCodecKeys
from workflows.payloads.holder import HOLDER, holder_of
from workflows.payloads.sealing import ENCODING, SealingCodec, new_key


def _file(folder: Path, *keys: str) -> CodecSettings:
    path = folder / "codec.keys"
    path.write_text("\n".join(keys) + "\n")
    return CodecSettings(keys_file=path)


async def test_nothing_of_a_value_is_readable_when_it_is_sealed(tmp_path: Path) -> None:
    converter = data_converter(_file(tmp_path, new_key()))
    [payload] = await converter.encode([Cancel(reason="the-plain-words")])
    assert payload.metadata["encoding"] == ENCODING
    assert b"the-plain-words" not in payload.SerializeToString()
    assert await converter.decode([payload], [Cancel]) == [Cancel(reason="the-plain-words")]


async def test_the_same_value_never_looks_the_same_twice(tmp_path: Path) -> None:
    converter = data_converter(_file(tmp_path, new_key()))
    one, two = (await converter.encode(["value"]))[0], (await converter.encode(["value"]))[0]
    assert one.data != two.data


async def test_words_of_failures_are_sealed_too(tmp_path: Path) -> None:
    converter = data_converter(_file(tmp_path, new_key()))
    failure = Failure()
    await converter.encode_failure(ApplicationError("the-plain-words", "details-words"), failure)
    assert b"the-plain-words" not in failure.SerializeToString()
    assert b"details-words" not in failure.SerializeToString()
    error = await converter.decode_failure(failure)
    assert "the-plain-words" in str(error)


async def test_a_new_key_opens_what_the_old_one_sealed_as_long_as_it_is_kept(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    [payload] = await data_converter(_file(tmp_path, old)).encode(["value"])
    assert await data_converter(_file(tmp_path, new, old)).decode([payload], [str]) == ["value"]
    with pytest.raises(UnreadablePayload, match="not among those"):
        await data_converter(_file(tmp_path, new)).decode([payload])


async def test_a_changed_payload_is_not_opened() -> None:
    codec = SealingCodec([bytes(32)])
    [sealed] = await codec.encode([Payload(metadata={"encoding": b"json/plain"}, data=b"1")])
    broken = Payload(metadata=sealed.metadata, data=sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))
    with pytest.raises(UnreadablePayload, match="was changed"):
        await codec.decode([broken])


async def test_who_held_the_task_is_what_stands_outside_of_the_seal() -> None:
    codec = SealingCodec([bytes(32)])
    lied = Payload(metadata={"encoding": b"json/plain", HOLDER: b"production-vm-4b96"}, data=b"1")
    (sealed,) = await codec.encode([lied])
    (opened,) = await codec.decode([sealed])
    assert (holder_of(opened), opened.data) == (None, b"1")
    sealed.metadata[HOLDER] = b"agent-1"
    (opened,) = await codec.decode([sealed])
    assert holder_of(opened) == "agent-1"
    sealed.metadata[HOLDER] = "\u202e[x]".encode()
    assert holder_of((await codec.decode([sealed]))[0]) is None


async def test_sealed_twice_is_sealed_once_and_plain_ones_pass() -> None:
    codec = SealingCodec([bytes(32)])
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b"1")
    once = await codec.encode([plain])
    assert await codec.encode(once) == once
    assert await codec.decode([plain, *once]) == [plain, plain]


@pytest.mark.parametrize("line", ["", "short", "!" * 44, "AAAA"])
def test_bad_keys_are_named_without_being_shown(tmp_path: Path, line: str) -> None:
    with pytest.raises(UnusableCodecKeys) as error:
        load_codec(_file(tmp_path, line))
    assert "keygen" in str(error.value)
    assert not line or line not in str(error.value)


def test_without_keys_there_is_no_codec(tmp_path: Path) -> None:
    assert load_codec(CodecSettings(keys_file=None)) is None
    with pytest.raises(UnusableCodecKeys, match="cannot be read"):
        load_codec(CodecSettings(keys_file=tmp_path / "missing"))


def test_a_process_does_not_start_on_keys_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HYBRIDCI_CODEC_KEYS_FILE", str(tmp_path / "missing"))
    monkeypatch.setattr(processes, "stop_cleanly_while_loading", lambda: None)
    assert processes.run_process("worker") == 2
    assert "HYBRIDCI_CODEC_KEYS_FILE" in capsys.readouterr().err
