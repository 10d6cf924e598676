"""Verifying tells apart what was changed, taken, put there and removed by policy, whoever did it."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import replace

import pytest

from activities.evidence.keys import SealKey
from activities.evidence.removal import remove_segments
from activities.evidence.sealer import IDLE_MS
from activities.evidence.verifier import Told, Verifier
from activities.stores.documents import dump_event, load_events
from tests.evidence.conftest import KEY, MINUTE, Trail
from tests.stores.lives import NOON
from tests.stores.releases import make_event
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.seals import Seal, SignedSeal, StoredRow, digest_of, packed, row_place
from workflows.contracts.audit.subjects import chained
from workflows.contracts.audit.verification import (
    Finding,
    FindingKind,
    FoundIn,
    RemovedEvents,
    VerificationSummary,
)

KNOWN = {KEY.key_id: KEY.public_key}


async def verify(
    trail: Trail, keys: Mapping[str, str] | None = KNOWN
) -> tuple[list[Finding], list[RemovedEvents], VerificationSummary]:
    trail.clock.now += MINUTE
    told: list[Told] = []
    async for each in Verifier(trail.evidence, trail.clock, keys).run():
        told.append(each)
        await asyncio.sleep(0)  # others have their turn
    summary = told[-1]
    assert isinstance(summary, VerificationSummary)
    findings = [each for each in told if isinstance(each, Finding)]
    assert summary.clean == (not findings)
    assert sum(summary.findings.values()) == len(findings)
    return findings, [each for each in told if isinstance(each, RemovedEvents)], summary


def told(findings: list[Finding]) -> list[tuple[str, str, str | None]]:
    return [(each.kind.value, each.found_in.value, each.event_id) for each in findings]


@pytest.fixture
async def events(trail: Trail) -> list[AuditEvent]:
    """Of two deployments and a job, sealed by three seals behind a first one of nothing."""
    await trail.seal()
    found: list[AuditEvent] = []
    for turn in range(3):
        trail.clock.now += MINUTE
        found += await trail.keep(4, prefix=f"one-{turn}", deployment_id="d-1")
        found += await trail.keep(3, prefix=f"two-{turn}", deployment_id="d-2")
        found += await trail.keep(2, prefix=f"job-{turn}", deployment_id=None, job_id="j-1", action="job.submitted")
        await trail.seal()
    return found


async def test_what_nobody_touched_is_clean_and_it_is_said_up_to_when(trail: Trail, events: list[AuditEvent]) -> None:
    sealed_at = trail.clock.now
    await trail.keep(3, prefix="later", at=trail.clock.now + 1)
    findings, removed, summary = await verify(trail)
    assert (findings, removed) == ([], [])
    assert (summary.sealed, summary.unsealed, summary.not_covered) == (len(events), 3, 0)
    assert (summary.known_until, summary.last_seal) == (sealed_at, 4)
    assert (summary.keys, summary.keys_known, summary.remarks) == ([KEY.key_id], True, [])


async def test_an_event_that_was_deleted_is_missing(trail: Trail, events: list[AuditEvent]) -> None:
    trail.intruder.delete_row(await trail.row_of(events[5]))
    findings, _, _ = await verify(trail)
    assert told(findings) == [("missing", "feed", events[5].event_id)]
    assert (findings[0].type, findings[0].at) == (events[5].action, events[5].at)


async def test_an_event_that_was_deleted_with_all_its_copies_is_missing(trail: Trail, events: list[AuditEvent]) -> None:
    row = await trail.row_of(events[5])
    await trail.evidence.remove([row])
    findings, _, _ = await verify(trail)
    assert told(findings) == [("missing", "feed", None)]
    assert (findings[0].shard, findings[0].number) == (row.shard, row.sequence)


async def test_an_event_that_was_changed_is_named(trail: Trail, events: list[AuditEvent]) -> None:
    row = await trail.row_of(events[4])
    trail.intruder.put_row(replace(row, document=row.document.replace('"by":"ann"', '"by":"bob"')))
    findings, _, _ = await verify(trail)
    assert told(findings) == [("changed", "feed", events[4].event_id)]
    assert (findings[0].shard, findings[0].number, findings[0].subject) == (row.shard, row.sequence, row.subject)


async def test_an_event_that_was_put_into_lists_is_inserted(trail: Trail, events: list[AuditEvent]) -> None:
    forged = make_event("forged", at=events[4].at, deployment_id="d-1")
    names = trail.evidence.copies_of(forged)
    for name in names:
        trail.intruder.put_copy(name, dump_event(forged))
    findings, _, _ = await verify(trail)
    assert told(findings) == [("inserted", "copy", "forged")] * len(names)
    assert {each.list_name for each in findings} == {name.list_name for name in names}


async def test_an_event_that_was_put_into_the_feed_is_inserted(
    trail: Trail, events: list[AuditEvent], request: pytest.FixtureRequest
) -> None:
    """Between two numbers, and behind the last one."""
    row = await trail.row_of(events[4])
    forged = dump_event(make_event("forged", at=events[4].at, deployment_id="d-1"))
    heads = await trail.evidence.heads()
    between = replace(row, place=f"{row.place}x", document=forged)
    behind = replace(row, place=row_place(heads[row.shard] + 5), document=forged)
    for each in (between, behind):
        trail.intruder.put_row(each)
    findings, _, _ = await verify(trail)
    assert told(findings) == [("inserted", "feed", "forged")] * 2


async def test_a_copy_that_was_changed_or_taken_is_named_with_its_list(trail: Trail, events: list[AuditEvent]) -> None:
    changed, taken = trail.evidence.copies_of(events[2])[-1], trail.evidence.copies_of(events[6])[-1]
    trail.intruder.put_copy(changed, dump_event(events[2]).replace('"by":"ann"', '"by":"bob"'))
    trail.intruder.delete_copy(taken)
    findings, _, _ = await verify(trail)
    assert sorted(told(findings)) == [("changed", "copy", events[2].event_id), ("missing", "copy", events[6].event_id)]
    assert {each.list_name for each in findings} == {changed.list_name, taken.list_name}


async def test_what_a_policy_removed_is_told_apart_from_what_somebody_took(
    trail: Trail, events: list[AuditEvent]
) -> None:
    limit = events[0].at + 10 * MINUTE
    trail.clock.now += 20 * MINUTE
    young = await trail.keep(6, prefix="young")
    await trail.seal()
    stolen = await trail.row_of(events[-1])
    trail.intruder.delete_row(await trail.row_of(young[3]))
    trail.intruder.delete_row(stolen)
    done = await remove_segments(trail.evidence, trail.sealer(), limit, lambda _: False, 1_000)
    assert 0 < done.events < len(events)  # the segment that somebody was at stays
    findings, removed, summary = await verify(trail)
    assert sorted(told(findings)) == sorted(
        [("missing", "feed", young[3].event_id), ("missing", "feed", events[-1].event_id)]
    )
    assert sum(each.events for each in removed) == summary.removed == done.events
    assert {each.record for each in removed} == {done.record}
    assert [each.standing for each in removed] == [0] * len(removed)


async def test_a_removal_that_was_cut_short_is_no_fault_and_what_is_put_there_is(
    trail: Trail, events: list[AuditEvent]
) -> None:
    trail.clock.now += 20 * MINUTE
    await trail.keep(6, prefix="young")
    await trail.seal()
    row = await trail.row_of(events[3])
    limit = events[-1].at + MINUTE
    await remove_segments(trail.evidence, trail.sealer(), limit, lambda _: False, 1_000)
    trail.intruder.put_row(row)
    for name in trail.evidence.copies_of(events[3]):
        trail.intruder.put_copy(name, row.document)
    findings, removed, _ = await verify(trail)
    assert (findings, [each.standing for each in removed if each.standing]) == ([], [1])
    trail.intruder.put_row(replace(row, document=row.document.replace("ann", "bob")))
    findings, _, _ = await verify(trail)
    assert told(findings) == [("inserted", "feed", events[3].event_id)]


async def test_full_access_does_not_help_who_rewrites_everything_that_hangs_together(
    trail: Trail, events: list[AuditEvent]
) -> None:
    """The event, its copies, the hashes of all that follow, the digests beside the seals: the signature stays."""
    target = await trail.row_of(events[4])
    await _rewrite(trail, target, target.document.replace('"by":"ann"', '"by":"bob"'))
    findings, _, summary = await verify(trail)
    assert {each.kind for each in findings} == {FindingKind.CHANGED}
    assert {each.found_in for each in findings} == {FoundIn.FEED}
    assert not summary.clean


async def _rewrite(trail: Trail, target: StoredRow, document: str) -> None:
    """One event of a subject, with its copies; the chain behind it; and all digests beside the seals."""
    own = [row for row in await trail.rows() if row.subject == target.subject]
    for name in trail.evidence.copies_of(load_events([document])[0]):
        trail.intruder.put_copy(name, document)
    digest = target.before
    for row in sorted(own, key=lambda row: int(row.number)):
        if int(row.number) < int(target.number):
            continue
        text = document if row.number == target.number else row.document
        trail.intruder.put_row(replace(row, document=text, before=digest))
        digest = chained(digest, row.subject, int(row.number), text)
    for kept in await trail.evidence.seals(0, 100):
        leaves: list[str] = []
        for sealed in kept.seal.ranges:
            rows = await trail.evidence.stored_rows(sealed.shard, row_place(sealed.behind), row_place(sealed.upto))
            leaves.append(packed(row.leaf for row in rows))
        trail.intruder.put_seal(kept.model_copy(update={"leaves": leaves}))


async def test_a_seal_that_was_rewritten_taken_or_signed_by_another_key_is_found(
    trail: Trail, events: list[AuditEvent]
) -> None:
    seals = await trail.evidence.seals(0, 100)
    seal = seals[2].seal
    rows = [row for each in seal.ranges for row in await trail.evidence.stored_rows(
        each.shard, row_place(each.behind), row_place(each.upto))]  # fmt: skip
    forged = replace(rows[0], document=rows[0].document.replace('"by":"ann"', '"by":"bob"'))
    trail.intruder.put_row(forged)
    leaves = [forged.leaf, *(row.leaf for row in rows[1:])]
    ranges = [seal.ranges[0].model_copy(update={"digest": digest_of(leaves)})]
    unsigned = seal.model_copy(update={"ranges": ranges})
    trail.intruder.put_seal(
        seals[2].model_copy(update={"text": unsigned.model_dump_json(), "leaves": [packed(leaves)]})
    )
    findings, _, _ = await verify(trail)
    assert ("seal", "seals") in {(each.kind.value, each.found_in.value) for each in findings}
    other = SealKey(b"x" * 32)
    trail.intruder.put_seal(other.sign(unsigned.model_copy(update={
        "key_id": other.key_id, "public_key": other.public_key}), [packed(leaves)]))  # fmt: skip
    findings, _, summary = await verify(trail)
    assert [each.seal for each in findings if each.kind is FindingKind.SEAL] == [3, 4]
    assert any("by a key that is not among those given" in each.message for each in findings)
    assert summary.keys == [KEY.key_id]
    trail.intruder.delete_seal(3)
    findings, _, _ = await verify(trail)
    assert [each.message for each in findings if each.kind is FindingKind.SEAL] == ["seals 3 to 3 are missing."]


async def test_an_end_that_was_cut_is_seen_by_the_time_of_the_last_seal(trail: Trail, events: list[AuditEvent]) -> None:
    """Without a copy elsewhere this is all that can be known; with one, see the command's own comparison."""
    for number in (3, 4):
        trail.intruder.delete_seal(number)
    trail.clock.now += 3 * IDLE_MS
    findings, _, summary = await verify(trail)
    assert (findings, summary.last_seal) == ([], 2)
    assert summary.known_until == NOON + MINUTE
    assert summary.unsealed == 18
    assert any("No seal was made since then" in remark for remark in summary.remarks)


async def test_what_a_missing_seal_covered_is_looked_at_as_what_is_not_sealed_yet(
    trail: Trail, events: list[AuditEvent]
) -> None:
    trail.intruder.delete_seal(3)
    trail.intruder.delete_row(await trail.row_of(events[-9 - 3]))
    findings, _, summary = await verify(trail)
    assert {(each.kind.value, each.found_in.value) for each in findings} >= {("seal", "seals"), ("missing", "feed")}
    assert (summary.sealed, summary.unsealed) == (18, 8)
    assert all(each.kind is not FindingKind.INSERTED or each.event_id == events[-12].event_id for each in findings)


async def test_an_event_that_was_changed_before_it_was_sealed_breaks_its_subjects_chain(
    trail: Trail, events: list[AuditEvent]
) -> None:
    new = await trail.keep(3, prefix="new", at=trail.clock.now + 1)
    row = await trail.row_of(new[1])
    trail.intruder.put_row(replace(row, document=row.document.replace('"by":"ann"', '"by":"bob"')))
    trail.clock.now += MINUTE
    await trail.seal()
    findings, _, _ = await verify(trail)
    assert ("changed", "subject", new[2].event_id) in told(findings)


async def test_copies_of_before_the_first_seal_are_compared_and_strangers_among_them_only_counted(trail: Trail) -> None:
    old = await trail.keep(5, prefix="old", at=NOON - 10 * MINUTE)
    await trail.seal()
    stranger = make_event("stranger", at=NOON - 20 * MINUTE, deployment_id="d-9")
    names = trail.evidence.copies_of(stranger)
    for name in names:
        trail.intruder.put_copy(name, dump_event(stranger))
    findings, _, summary = await verify(trail)
    assert (findings, summary.not_covered) == ([], len(names))
    trail.intruder.delete_copy(trail.evidence.copies_of(old[1])[0])
    findings, _, _ = await verify(trail)
    assert told(findings) == [("missing", "copy", old[1].event_id)]


async def test_texts_that_are_no_events_stop_nothing(trail: Trail, events: list[AuditEvent]) -> None:
    row = await trail.row_of(events[2])
    trail.intruder.put_row(replace(row, document="{no json", subject="x", number="many", after="nowhere"))
    trail.intruder.put_seal(SignedSeal(number=5, text="[]", signature="?", leaves=["!"]))
    findings, _, _ = await verify(trail)
    assert {(each.kind.value, each.found_in.value) for each in findings} == {("changed", "feed"), ("seal", "seals")}


async def test_without_keys_it_says_that_nobody_vouches_for_them(trail: Trail, events: list[AuditEvent]) -> None:
    findings, _, summary = await verify(trail, None)
    assert (findings, summary.keys_known) == ([], False)
    assert any("the keys that the seals name" in remark for remark in summary.remarks)


async def test_a_trail_without_seals_says_that_nothing_can_be_known(trail: Trail) -> None:
    await trail.keep(3)
    findings, _, summary = await verify(trail)
    assert (findings, summary.known_until, summary.unsealed) == ([], None, 3)
    assert any("No seal was ever made" in remark for remark in summary.remarks)


async def test_many_differences_are_all_named(trail: Trail, events: list[AuditEvent]) -> None:
    for event in events[::2]:
        trail.intruder.delete_copy(trail.evidence.copies_of(event)[0])
    findings, _, _ = await verify(trail)
    assert {each.event_id for each in findings} == {event.event_id for event in events[::2]}
    assert {each.kind for each in findings} == {FindingKind.MISSING}


def test_a_signature_is_over_the_stored_text() -> None:
    kept = KEY.sign(Seal(number=1, sealed_at=NOON, previous="", key_id=KEY.key_id, public_key=KEY.public_key), [])
    assert KEY.read(kept) is not None
    assert KEY.read(kept.model_copy(update={"text": kept.text + " "})) is None
    assert KEY.read(kept.model_copy(update={"signature": base64.b64encode(bytes(64)).decode()})) is None


async def test_a_row_that_does_not_know_the_place_before_it_is_checked_by_what_its_subject_says(
    trail: Trail, events: list[AuditEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a store writes them that presumed the number: the place stands elsewhere, and perhaps nowhere."""
    new = await trail.keep(2, prefix="new", at=trail.clock.now + 1)
    row = await trail.row_of(new[1])
    trail.intruder.put_row(replace(row, after=""))
    trail.clock.now += MINUTE
    await trail.seal()
    assert (await verify(trail))[0] == []

    async def place_before(subject: str, number: int) -> str:
        return row.after if (subject, str(number)) == (row.subject, row.number) else ""

    monkeypatch.setattr(trail.evidence, "place_before", place_before)
    assert (await verify(trail))[0] == []
    trail.intruder.put_row(replace(row, after="", before="0" * 64))
    assert told((await verify(trail))[0]) == [("changed", "feed", new[1].event_id)]


async def test_what_is_kept_sealed_and_removed_meanwhile_is_no_finding(trail: Trail, events: list[AuditEvent]) -> None:
    """Some of it is told late: it happened before the verification began."""
    stop = asyncio.Event()
    turns = 0

    async def busy() -> None:
        nonlocal turns
        sealer = trail.sealer()
        while not stop.is_set():
            await trail.keep(3, prefix=f"busy-{turns}", at=trail.clock.now - (turns % 2) * 90_000, job_id=f"j-{turns}")
            await sealer.seal_new()
            await remove_segments(trail.evidence, sealer, events[-1].at + 1, lambda _: False, 4)
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(busy())
    try:
        while turns < 8:
            findings, _, summary = await verify(trail)
            assert findings == []
            assert summary.clean
    finally:
        stop.set()
        await task
    findings, _, summary = await verify(trail)
    assert (findings, summary.removed > 0) == ([], True)
