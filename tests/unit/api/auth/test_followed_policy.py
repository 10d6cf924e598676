"""A changed access policy holds without a restart, and one that cannot be used changes nothing."""

import asyncio
from pathlib import Path

import pytest

from activities.stores.memory.events import MemoryEventStore
from api.auth.sign_in import SETTING, SignIn, open_sign_in
from api.identity import policy_trail
from api.identity.people import People
from api.identity.policy import AccessPolicy, UnusablePolicy
from api.identity.policy_trail import follow_policy
from tests.api.live import until
from workflows import followed

PEOPLE = "people:\n  - {id: ann, emails: [ann@example.com]}\n"
ISSUER = """issuers:
  - {name: corp, issuer: "https://id.example.com", audience: hybridci}
users:
  - {match: {issuer: corp, email: ann@example.com}, grants: [{role: viewer}]}
"""


class PolicyFile:
    """Written in its place whole, as an operator's tool does."""

    def __init__(self, folder: Path) -> None:
        self._new, self.path = folder / "new", folder / "policy.yml"

    def write(self, content: str) -> None:
        self._new.write_text(content)
        self._new.replace(self.path)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PolicyFile:
    monkeypatch.setattr(followed, "LOOK_SECONDS", 0)
    written = PolicyFile(tmp_path)
    written.write(PEOPLE)
    return written


def opened(path: Path | None) -> SignIn:
    return open_sign_in(path, environment="development", host="127.0.0.1", public_url=None, session_seconds=60)


def test_a_changed_policy_holds_and_junk_does_not(file: PolicyFile) -> None:
    sign_in = opened(file.path)
    people = People(lambda: sign_in.policy.people)
    assert (people.lists("ann"), people.lists("bob"), dict(sign_in.issuers)) == (True, False, {})
    file.write(ISSUER + PEOPLE.replace("ann", "bob"))
    assert list(sign_in.issuers) == ["corp"]
    assert sign_in.policy.grants_of_person("corp", {"email": "ann@example.com", "email_verified": True})
    assert (people.lists("ann"), people.lists("bob")) == (False, True)
    for junk in ("issuers: [", "issuers: 7", "unknown: 1"):
        file.write(junk)
        assert list(sign_in.issuers) == ["corp"]
        assert followed.troubles()[SETTING].endswith("Until it can be used, the policy of before holds.")
    file.write(PEOPLE)
    assert (people.lists("ann"), dict(sign_in.issuers)) == (True, {})
    assert SETTING not in followed.troubles()


def test_at_the_start_junk_is_refused_and_no_file_is_no_policy(file: PolicyFile) -> None:
    assert opened(None).policy == AccessPolicy()
    file.write("issuers: 7")
    with pytest.raises(UnusablePolicy):
        opened(file.path)


async def test_each_policy_is_told_in_the_trail(file: PolicyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_trail, "_PAUSE_SECONDS", 0)
    events, sign_in = MemoryEventStore(), opened(file.path)

    following = asyncio.create_task(follow_policy(events, lambda: sign_in.policy, lambda: 1_796_000_000_000))
    try:
        await until(lambda: len(events.documents) == 1)
        file.write(ISSUER)
        await until(lambda: len(events.documents) == 2)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    told = [row.event.action for row in await events.rows(0, 0, 99)]
    assert told == ["config.installed", "config.updated"]
