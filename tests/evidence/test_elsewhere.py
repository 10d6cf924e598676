"""Copies of seals elsewhere: in order, none left out, whatever is killed or does not answer; and the worker's loop."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import ValidationError

from activities.evidence.elsewhere import CopyRefusedError, SealsFile, SealsUrl, check_seals_file, copy_seals
from activities.evidence.keys import SealKey, UnusableSealKeyError, load_public_keys
from activities.evidence.watch import SealWatch, open_watch
from activities.settings import WorkerSettings
from activities.stores.settings import StoreSettings
from tests.evidence.conftest import KEY, MINUTE, Trail


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_text("utf-8").splitlines()]


class Receiver(BaseHTTPRequestHandler):
    """Takes what is posted, or answers with the next of ``answers``."""

    taken: list[int]
    answers: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0) if self.answers else 204
        if status < 300:
            self.taken += [json.loads(line)["number"] for line in body.splitlines()]
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def receiving(*answers: int) -> Generator[tuple[str, list[int]]]:
    taken: list[int] = []
    handler = type("OwnReceiver", (Receiver,), {"taken": taken, "answers": list(answers)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/seals", taken
        finally:
            server.shutdown()
            thread.join()


async def sealed(trail: Trail, count: int) -> None:
    for number in range(count):
        await trail.keep(1, prefix=f"s-{trail.clock.now}-{number}")
        trail.clock.now += MINUTE
        await trail.seal()


async def test_a_file_gets_each_seal_once_and_a_broken_line_is_cut_off(trail: Trail, tmp_path: Path) -> None:
    path = tmp_path / "seals.jsonl"
    await sealed(trail, 2)
    assert await copy_seals(trail.evidence, SealsFile(path)) == 2
    with path.open("ab") as file:
        file.write(b'{"number":3,"text":"{')  # the worker was killed
    await sealed(trail, 2)
    await copy_seals(trail.evidence, SealsFile(path))
    await copy_seals(trail.evidence, SealsFile(path))
    assert numbers(path) == [1, 2, 3, 4]
    await SealsFile(path).send(await trail.evidence.seals(0, 10))  # another worker, with an older list
    assert numbers(path) == [1, 2, 3, 4]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_an_address_that_does_not_take_them_gets_them_with_the_next_ones_in_order(trail: Trail) -> None:
    await sealed(trail, 2)
    with receiving(500, 204, 302) as (url, taken):
        place = SealsUrl(url, trail.evidence)
        with pytest.raises(CopyRefusedError, match="500"):
            await copy_seals(trail.evidence, place)
        await sealed(trail, 1)
        assert await copy_seals(trail.evidence, SealsUrl(url, trail.evidence)) == 3
        await sealed(trail, 1)
        with pytest.raises(CopyRefusedError, match="302"):
            await copy_seals(trail.evidence, place)
        await copy_seals(trail.evidence, place)
        assert taken == [1, 2, 3, 4]
        assert await place.sent() == 4
    await sealed(trail, 1)
    with pytest.raises(CopyRefusedError, match="does not answer"):
        await copy_seals(trail.evidence, place)


async def test_a_mark_never_goes_back(trail: Trail) -> None:
    await trail.evidence.mark_sent("x", 5)
    await trail.evidence.mark_sent("x", 3)
    assert (await trail.evidence.sent("x"), await trail.evidence.sent("y")) == (5, 0)


async def test_the_loop_seals_and_sends_and_a_place_that_fails_holds_up_nothing(
    trail: Trail, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await trail.keep(3)
    good, bad = SealsFile(tmp_path / "seals.jsonl"), SealsFile(tmp_path / "no" / "folder")
    watch = SealWatch(trail.sealer(), [bad, good])
    await watch.tick()
    await trail.keep(2, prefix="more")
    await watch.tick()
    assert numbers(tmp_path / "seals.jsonl") == [1, 2]
    assert caplog.text.count("seals wait; trying again") == 1


async def test_a_worker_that_starts_remembers_its_files_last_seal_when_the_stores_end_was_cut(
    trail: Trail, tmp_path: Path
) -> None:
    path = tmp_path / "seals.jsonl"
    await sealed(trail, 3)
    await copy_seals(trail.evidence, SealsFile(path))
    for number in (2, 3):
        trail.intruder.delete_seal(number)
    await trail.keep(1, prefix="then")
    watch = open_watch(trail.evidence, KEY, trail.clock, path, None)
    await watch.tick()
    assert [seal.number for seal in await trail.evidence.seals(0, 10)] == [1, 4]
    assert numbers(path) == [1, 2, 3, 4]


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    private, public, empty = tmp_path / "seal.key", tmp_path / "seal.pub", tmp_path / "empty"
    private.write_text("no key\n")
    empty.write_text("# nothing\n")
    for path in (private, empty, tmp_path / "absent"):
        with pytest.raises(UnusableSealKeyError, match="HYBRIDCI_SEAL_KEY_FILE"):
            SealKey.load(path)
        with pytest.raises(UnusableSealKeyError, match="HYBRIDCI_SEAL_PUBLIC_KEYS_FILE"):
            load_public_keys(path)
    public.write_text(f"{KEY.public_key}  # of the workers\n")
    assert load_public_keys(public) == {KEY.key_id: KEY.public_key}
    assert (SealKey.load(None), load_public_keys(None)) == (None, None)
    with pytest.raises(UnusableSealKeyError, match="HYBRIDCI_SEALS_FILE"):
        check_seals_file(tmp_path)
    check_seals_file(tmp_path / "absent")


@pytest.mark.parametrize(
    "url", ["http://example.com/seals", "ftp://x", "seals", "https://", "http://127.0.0.2.example"]
)
def test_an_address_in_clear_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDCI_SEALS_URL", url)
    with pytest.raises(ValidationError, match="HYBRIDCI_SEALS_URL"):
        WorkerSettings(stores=StoreSettings())


def test_an_address_that_is_private_or_here_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("https://example.com/seals?of=us", "http://localhost:9/x", "http://[::1]:9/"):
        monkeypatch.setenv("HYBRIDCI_SEALS_URL", url)
        assert WorkerSettings(stores=StoreSettings()).seals_url == url
    monkeypatch.delenv("HYBRIDCI_SEALS_URL")
    assert os.environ.get("HYBRIDCI_SEALS_URL") is None
