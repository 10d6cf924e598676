"""Forms that send a command: what is refused, to whom, and how it is said."""

import re
from urllib.parse import quote

import pytest

from api.auth.permissions import ROUTES, Open
from tests.api.conftest import Bench
from tests.api.dashboard.browser import (
    address,
    filled,
    key_of,
    pages,
    signed_in,
)
from workflows.contracts.access import Role


async def test_a_refusal_is_on_the_page_with_what_was_filled_in(bench: Bench) -> None:
    await bench.register()
    deployment_id = await bench.deploy()
    browser = await signed_in(bench)
    answer = await browser.submit(f"/deployments/{deployment_id}/cancel", reason="r" * 2000)
    assert answer.status_code == 422
    assert "<code>reason</code>" in answer.text
    nothing = await browser.submit(f"/deployments/{deployment_id}/no-such-command")
    assert nothing.status_code == 404


async def test_what_leads_on_from_a_refusal_is_no_address_of_a_command(bench: Bench) -> None:
    ids = await filled(bench)
    browser = await signed_in(bench)
    for command in ("/dead-letters/review", "/agents/agent-7/pause", "/access/keys", f"/jobs/{ids['job_id']}/cancel"):
        sent = {"from": "list", "minutes": "soon", "name": ""}
        answer = await browser.submit(command, **sent)
        assert answer.status_code in {409, 422}, (command, answer.status_code)
        assert not re.findall(r'href="\?[^"]*"', answer.text), f"{command}: it would be asked of the command"
        asking = re.findall(r'<form[^>]*method="get"[^>]*>', answer.text)
        assert all(' action="/' in form for form in asking), (command, asking)


async def test_what_was_filled_in_is_kept_by_every_form(bench: Bench) -> None:
    ids = await filled(bench)
    browser = await signed_in(bench)
    service, too_long = f"/services/{ids['name']}", "r" * 3000
    for command, fields in {
        "/pools/default/scale": {"min_agents": "9", "max_agents": "3", "reason": "more work"},
        f"{service}/archive": {"reason": too_long},
        f"{service}/environments/production/release": {"reason": too_long},
        f"{service}/environments/production/freezes": {"name": "fair", "hours": "soon", "reason": "busy days"},
        f"/freezes/{ids['stop_id']}/remove": {"kind": "freeze", "reason": too_long},
        f"/webhooks/{ids['delivery_id']}/replay": {"reason": too_long},
    }.items():
        answer = await browser.submit(command, **fields)
        assert answer.status_code == 422, (command, answer.status_code)
        for name, value in fields.items():
            assert f'value="{value}"' in answer.text, f"{command}: {name} is lost"


async def test_a_viewer_sees_and_may_not(bench: Bench) -> None:
    ids = await filled(bench)
    viewer = await signed_in(bench, await key_of(bench, Role.VIEWER))
    for path in pages():
        text = await viewer.see(address(path, ids), 403 if path.startswith(("/audit", "/webhooks")) else 200)
        actions = re.findall(r'method="post" action="(/[^"]*)"', text)
        own = {each for each in actions if each.startswith("/access/sessions/")}
        assert set(actions) - own <= {"/sign-out", "/sign-in", "/theme"}, f"{path}: what they may not"
        assert ">Audit</a>" not in text
        assert ">Webhooks</a>" not in text
    assert "needs the role" in await viewer.see(f"/jobs/{ids['job_id']}")
    posts = [route.removeprefix("POST ") for route, need in ROUTES.items() if need is Open.PAGE and "POST " in route]
    forms = [path for path in posts if "{" in path and not path.startswith("/access/sessions/")]
    assert len(forms) >= 4
    commands = {
        "/jobs": "cancel",
        "/dead-letters": "redrive",
        "/deployments": "rollback",
        "/services/{name}/{command}": "archive",
        "/services": "hold",
        "/agents": "drain",
        "/webhooks": "replay",
        "/freezes": "remove",
        "/pools": "scale",
        "/access/keys": "revoke",
    }
    for path in forms:
        command = next(word for start, word in commands.items() if path.startswith(start))
        to = address(path, {**ids, "environment": "production", "command": command, "delivery_id": "0123456789abcdef"})
        answer = await viewer.submit(to, reason="because", version="1", min_agents="0", max_agents="1", text="a: 1")
        assert answer.status_code == 403, (to, answer.text[:300])
        assert "may not" in answer.text or "This needs" in answer.text


@pytest.mark.parametrize("command", ["{job_id:>400000000}", "{0}", "{", "{foo}", "%s"])
async def test_a_command_of_no_sense_is_no_command(bench: Bench, command: str) -> None:
    job_id = await bench.submit()
    browser = await signed_in(bench)
    answer = await browser.submit(f"/jobs/{job_id}/{quote(command)}")
    assert answer.status_code == 404
    assert len(answer.text) < 20_000
