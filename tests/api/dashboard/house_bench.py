"""One of everything that the rooms of the house show, with these words wherever somebody may write."""

import time

from tests.api.conftest import Bench
from workflows.contracts.deployments.deliveries import DeliveredAction, DeliveryOutcome, KeptDelivery, NotStarted

DELIVERY = "9f0c3a52-0b7d-4b0e-8a71-0c6f6d2f1a11"


async def house_filled(bench: Bench, words: str) -> dict[str, str]:
    """Returns the ids. ``words`` where the API takes any text; it refuses them in names."""
    agent = {
        "agent_id": "agent-7", "instance": "instance-0001", "pool": "default", "capacity": 2, "version": words[:60],
        "hostname": words[:60], "region": words[:60],
    }  # fmt: skip
    registered = await bench.admin.post("/api/agents/register", json=agent)
    assert registered.status_code == 201, registered.text
    paused = await bench.admin.post("/api/agents/agent-7/pause", json={"note": words[:100]})
    assert paused.status_code == 200, paused.text
    where = "/api/dashboard/services/checkout/environments/production/freezes"
    own = await bench.admin.post(where, json={"name": words, "reason": words, "duration_seconds": 3600})
    assert own.status_code == 201, own.text
    freeze = {"name": words, "reason": words, "duration_seconds": 3600, "freeze_id": "fair"}
    wide = await bench.admin.post(
        "/api/dashboard/freezes", json={**freeze, "scope": {"labels": {words[:60]: words[:60]}}}
    )
    assert wide.status_code == 201, wide.text
    everything = await bench.admin.post(
        "/api/dashboard/holds", json={"name": words, "reason": words, "scope": {"all_services": True}}
    )
    assert everything.status_code == 201, everything.text
    key = await bench.admin.post("/api/access/keys", json={"name": words, "grants": [{"role": "viewer"}]})
    assert key.status_code == 201, key.text
    kept = KeptDelivery(
        delivery_id=DELIVERY, provider="github", delivery=words, event=words, at=int(time.time() * 1000),
        last_at=int(time.time() * 1000), repository=words, ref=words, commit=words, sender=words, rule=words,
        outcome=DeliveryOutcome.ACCEPTED, message=words, size=len(words), body_kept=True, headers={words: words},
        actions=[DeliveredAction(action="start_deployment", status="refused", message=words, service_name=words)],
        passed_over=[NotStarted(service_name=words, why=words)],
    )  # fmt: skip
    await bench.app.state.services.webhook_deliveries.keep(kept, words.encode())
    return {"delivery_id": DELIVERY, "stop_id": "fair", "freeze_id": "none", "key_id": key.json()["key_id"],
            "session_id": "none", "decision": "approve"}  # fmt: skip
