"""Seals, verification and reports over HTTP: who may ask, what is answered, what is refused and how."""

import asyncio
from typing import Any

import pytest

from activities.evidence.keys import SealKey
from activities.evidence.sealer import Sealer
from activities.stores.documents import dump_event
from activities.stores.memory.events import MemoryEventStore
from tests.api.conftest import Bench
from tests.api.test_permissions import Doors, doors
from tests.stores.releases import make_deployment, make_event
from workflows.contracts.access import Grant, Role
from workflows.contracts.audit.seals import SignedSeal
from workflows.contracts.audit.verification import VerificationLine
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentWrite, Stage, StageStatus

__all__ = ["doors"]
KEY = SealKey(b"k" * 32)
NOON = 1_790_000_000_000
DAY = "2026-09-21"
VERIFY, SEALS, REPORT = "/api/audit/verify", "/api/audit/seals", "/api/audit/report"


async def seal(bench: Bench) -> SignedSeal | None:
    return await Sealer(bench.stores.evidence, KEY, lambda: NOON).seal_new()


async def lines(bench: Bench) -> list[VerificationLine]:
    answer = await bench.admin.get(VERIFY)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jsonl")
    return [VerificationLine.model_validate_json(line) for line in answer.text.splitlines()]


async def test_a_verification_is_a_stream_that_ends_with_its_summary(bench: Bench) -> None:
    await seal(bench)
    for number in range(5):
        await bench.stores.events.append(make_event(f"e-{number}", at=NOON + number, deployment_id="d"))
    made = await seal(bench)
    assert made is not None
    *told, last = await lines(bench)
    assert last.summary is not None
    assert (last.summary.clean, last.summary.sealed, last.summary.last_seal) == (True, 5, 2)
    assert {each.progress.part for each in told if each.progress} == {"seals", "copies"}
    events = bench.stores.events
    assert isinstance(events, MemoryEventStore)
    events.documents["forged"] = dump_event(make_event("forged", at=NOON + 3, deployment_id="d"))
    *told, last = await lines(bench)
    assert [each.finding.event_id for each in told if each.finding] == ["forged"]
    assert last.summary is not None
    assert not last.summary.clean


async def test_seals_are_listed_behind_a_number_with_text_and_signature(bench: Bench) -> None:
    for number in range(3):
        await bench.stores.events.append(make_event(f"e-{number}", at=NOON + number, deployment_id="d"))
        await seal(bench)
    page = (await bench.admin.get(SEALS, params={"behind": 1, "limit": 1})).json()
    assert [item["number"] for item in page["items"]] == [2]
    kept = (await bench.stores.evidence.seals(1, 1))[0]
    assert page["items"][0] == {"number": 2, "text": kept.text, "signature": kept.signature}
    assert (await bench.admin.get(SEALS, params={"behind": 3})).json() == {"items": []}
    refused = await bench.admin.get(SEALS, params={"behind": -1, "limit": 1000})
    assert (refused.status_code, [each["field"] for each in refused.json()["errors"]]) == (422, ["behind", "limit"])


async def test_one_verification_at_a_time(bench: Bench) -> None:
    held: asyncio.Lock = bench.app.state.services.verifying
    async with held:
        answer = await bench.admin.get(VERIFY)
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
    assert (await lines(bench))[-1].summary is not None


async def test_verifying_needs_the_whole_trail_and_a_report_its_service(doors: Doors) -> None:
    own = await doors.key(Grant(role=Role.OPERATOR, services=["checkout"]))
    everywhere = await doors.key(Grant(role=Role.OPERATOR))
    viewer = await doors.key(Grant(role=Role.VIEWER))
    report = f"GET {REPORT}?service={{}}&from={DAY}&to={DAY}"
    for key, route, status in (
        (own, f"GET {VERIFY}", 403),
        (own, f"GET {SEALS}", 403),
        (own, report.format("checkout"), 200),
        (own, report.format("cart"), 403),
        (everywhere, f"GET {VERIFY}", 200),
        (everywhere, report.format("cart"), 200),
        (viewer, report.format("checkout"), 403),
        (None, f"GET {VERIFY}", 401),
    ):
        answer = await doors.call(key, route)
        assert answer.status_code == status, (route, answer.text)


async def story(bench: Bench) -> dict[str, Any]:
    """1.0 is approved by its starter, goes live, and is rolled back; somebody overrides a freeze; keys are made."""
    deployment = make_deployment(created_at=NOON, version="1.0", created_by="ann")
    stages = [Stage(environment="production", status=StageStatus.DEPLOYED, deployed_at=NOON + 50)]
    deployment = deployment.model_copy(update={"stages": stages, "status": DeploymentStatus.LIVE})
    about = {"deployment_id": deployment.deployment_id, "service_name": "checkout", "version": "1.0"}
    told: list[tuple[str, dict[str, Any]]] = [
        ("deployment.created", {"by": "ann", "via": "cli"}),
        ("deployment.approved", {"by": "ann", "environment": "production",
                                 "details": {"person": "ann", "verified": False, "self_approval": True}}),
        ("deployment.freeze_overridden", {"by": "olga", "environment": "production", "reason": "<b>urgent</b> | `x`"}),
        ("deployment.live", {"by": "workflow", "environment": "production", "message": "1.0 is live"}),
        ("deployment.metrics_breached", {"by": "watch", "message": "error rate 0.2"}),
        ("deployment.rolled_back", {"by": "olga", "reason": "errors"}),
    ]  # fmt: skip
    events = [
        make_event(f"e-{n}", at=NOON + 10 * n, action=action, **about, **more) for n, (action, more) in enumerate(told)
    ]
    await bench.stores.deployments.write(DeploymentWrite(deployment=deployment, events=events))
    grants = {"own": ["checkout"], "other": ["cart"], "all": None}
    for number, (name, services) in enumerate(grants.items()):
        given = {"role": "operator"} if services is None else {"role": "operator", "services": services}
        details = {"credential_id": name, "grants": [given]}
        event = make_event(f"key-{name}", at=NOON + 100 + number, action="access.key_issued", details=details)
        await bench.stores.events.append(event)
    await bench.stores.events.append(make_event("late", at=NOON + 86_400_000 * 2, service_name="checkout"))
    return about


def asked(form: str, **more: str) -> dict[str, str]:
    return {"service": "checkout", "from": DAY, "to": DAY, "format": form, **more}


async def test_a_report_says_who_deployed_what_approved_by_whom_with_which_exceptions(bench: Bench) -> None:
    about = await story(bench)
    await seal(bench)
    made = (await bench.admin.get(REPORT, params=asked("json"))).json()
    (deployment,) = made["deployments"]
    assert (deployment["deployment_id"], deployment["version"]) == (about["deployment_id"], "1.0")
    assert (deployment["started_by"], deployment["started_via"]) == ("ann", "cli")
    assert len(deployment["git_commit_sha"]) == 40
    assert [each["marks"] for each in deployment["approvals"]] == [["self-approval", "unverified"]]
    assert [each["what"] for each in deployment["checks"]] == ["deployment.metrics_breached"]
    assert deployment["stages"][0]["environment"] == "production"
    assert [each["what"] for each in made["exceptions"]] == ["deployment.approved", "deployment.freeze_overridden"]
    assert [(each["what"], each["reason"]) for each in made["rollbacks"]] == [("deployment.rolled_back", "errors")]
    assert [each["event_id"] for each in made["access"]] == ["key-own", "key-all"]
    assert (made["events"], made["seal"]["number"], made["seal"]["event_id"]) == (8, 1, "key-all")
    assert made["left_out"] == []


async def test_a_report_in_markdown_and_html_shows_foreign_text_as_text(bench: Bench) -> None:
    await story(bench)
    page = await bench.admin.get(REPORT, params=asked("html"))
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "&lt;b&gt;urgent&lt;/b&gt;" in page.text
    assert "<b>" not in page.text
    text = await bench.admin.get(REPORT, params=asked("md"))
    assert text.headers["content-type"].startswith("text/markdown")
    assert "`Reason: <b>urgent</b> \\| 'x'`" in text.text
    assert "is not sealed yet" in text.text
    for each in (page.text, text.text):
        for title in ("Exceptions (2)", "Rollbacks (1)", "Changes of access (2)"):
            assert title.replace("(", "\\(").replace(")", "\\)") in each or title in each


async def test_a_limited_key_sees_the_access_of_its_service_and_is_told_what_is_left_out(
    bench: Bench, doors: Doors
) -> None:
    for number, services in enumerate((["checkout"], None)):
        grant = {"role": "operator"} if services is None else {"role": "operator", "services": services}
        event = make_event(f"k-{number}", at=NOON, action="access.key_issued", details={"grants": [grant]})
        await doors.app.state.services.audit.append(event)
    key = await doors.key(Grant(role=Role.OPERATOR, services=["checkout"]))
    made = (await doors.call(key, f"GET {REPORT}?service=checkout&from={DAY}&to={DAY}")).json()
    assert [each["event_id"] for each in made["access"]] == ["k-0"]
    assert "may not see" in made["left_out"][0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("from", "yesterday"), ("from", "2026-13-01"), ("to", "2026-09-20"), ("to", "2026-09-21T10:00"),
     ("to", "2026-09-21T99:00Z"), ("from", "0001-01-01"), ("service", "No!"), ("format", "pdf")],
)  # fmt: skip
async def test_a_bad_time_or_service_is_named(bench: Bench, field: str, value: str) -> None:
    answer = await bench.admin.get(REPORT, params={**asked("json"), field: value})
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field])


async def test_a_report_of_nothing_says_so(bench: Bench) -> None:
    made = (await bench.admin.get(REPORT, params=asked("json"))).json()
    assert (made["events"], made["seal"], made["deployments"]) == (0, None, [])
    assert "None." in (await bench.admin.get(REPORT, params=asked("md"))).text


async def test_health_says_when_the_trail_was_last_sealed(bench: Bench) -> None:
    before = (await bench.admin.get("/health/system")).json()
    assert (before["last_seal"], before["sealed_at"]) == (None, None)
    await seal(bench)
    health = (await bench.admin.get("/health/system")).json()
    assert (health["last_seal"], health["sealed_at"]) == (1, NOON)
