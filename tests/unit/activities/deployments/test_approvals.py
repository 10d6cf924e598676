"""Who may approve is what the service says now, wherever it says it; what an approval was given with has to stand."""

from typing import Any

import pytest

from activities.deployments.approvals import Approvals
from workflows.contracts.access import Credential, CredentialKind
from workflows.contracts.deployments.approvals import ApprovalQuestion
from workflows.contracts.deployments.services import Service, ServiceSpec
from workflows.contracts.errors import NotFound, Unavailable
from workflows.contracts.identity.people import Somebody, Vouched

_STEPS = [{"name": "deploy", "run": "true"}]
_APPROVAL = {"required": 2}
_HERE: dict[str, Any] = {
    "environments": [{"name": "production", "steps": _STEPS, "approval": _APPROVAL}],
}
_IN_THE_REPOSITORY: dict[str, Any] = {
    "definition": {"path": ".hybridci.yml"},
    "policy": {"environments": [{"name": "production", "approval": _APPROVAL}]},
}


_NOW = 1_000_000


class Handed:
    """What was handed out."""

    def __init__(self, *credentials: Credential) -> None:
        self._known = {each.credential_id: each for each in credentials}

    async def get(self, credential_id: str) -> Credential:
        if credential_id not in self._known:
            raise NotFound(credential_id)
        return self._known[credential_id]


def handed(credential_id: str = "k1", kind: CredentialKind = CredentialKind.KEY, **changes: Any) -> Credential:
    made = Credential(credential_id=credential_id, kind=kind, digest="", subject="key:bob", grants=[], created_at=1)
    return made.model_copy(update=changes)


async def nothing_registered(name: str) -> Service:
    raise NotFound(name)


def question_of(*credential_ids: str | None) -> ApprovalQuestion:
    given = [Vouched(by="bob", identity=Somebody(person="bob"), credential_id=each, at=1) for each in credential_ids]
    return ApprovalQuestion(
        service_name="shop", environment="production", deployment_id="d", version="1", git_commit_sha="a" * 40,
        given=[*given, None],
    )  # fmt: skip


_SESSION = {"kind": CredentialKind.SESSION, "credential_id": "s1"}


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ([handed()], None),
        ([handed(expires_at=_NOW - 1)], None),
        ([handed(revoked_at=_NOW + 1)], None),
        ([handed(revoked_at=_NOW)], "The key k1, with which it was given, was revoked at 1970-01-01 00:16:40 UTC."),
        ([handed(expires_at=_NOW - 5, revoked_at=_NOW)], "The key k1, with which it was given, was revoked"),
        ([handed(expires_at=_NOW - 5, replaced_by="k2"), handed("k2")], None),
        ([handed(expires_at=_NOW - 5, replaced_by="k2")], None),
        (
            [handed(expires_at=_NOW - 5, replaced_by="k2"), handed("k2", replaced_by="k3"),
             handed("k3", revoked_at=_NOW)],
            "The key k3, which stands for key k1, with which it was given, was revoked",
        ),
        ([handed(replaced_by="k2"), handed("k2", replaced_by="k1")], None),
        ([], "Nothing is known any more of k1, with which it was given: approve again."),
    ],
)  # fmt: skip
async def test_an_approval_stands_with_the_key_that_gave_it(known: list[Credential], why: str | None) -> None:
    approvals = Approvals(nothing_registered, Handed(*known).get, clock=lambda: _NOW)
    withdrawn = (await approvals.facts(question_of("k1", None))).withdrawn
    assert withdrawn[1:] == [None, None], "a key of the configuration, and what Temporal's own tools sent"
    assert (withdrawn[0] or "").startswith(why or "")
    assert (withdrawn[0] is None) is (why is None)


@pytest.mark.parametrize(
    ("session", "why"),
    [
        ({"expires_at": _NOW - 1}, None),
        ({"revoked_at": _NOW, "signed_out": True}, None),
        ({"revoked_at": _NOW}, "The session s1, with which it was given, was revoked"),
        ({"parent_id": "k1"}, "The key k1, which stands for session s1, with which it was given, was revoked"),
        ({"parent_id": "k1", "revoked_at": _NOW, "signed_out": True}, "The key k1, which stands for session s1"),
        ({"parent_id": "gone"}, "Nothing is known any more of s1"),
        ({"parent_id": "k2"}, None),
    ],
)
async def test_an_approval_stands_with_the_session_that_gave_it(session: dict[str, Any], why: str | None) -> None:
    known = Handed(handed(**_SESSION, **session), handed("k1", revoked_at=_NOW), handed("k2", expires_at=1))
    (said, _) = (await Approvals(nothing_registered, known.get, clock=lambda: _NOW).facts(question_of("s1"))).withdrawn
    assert (said or "").startswith(why or "")
    assert (said is None) is (why is None)


async def test_an_approval_goes_with_whoever_leaves_the_identity_map_and_may_be_given_again() -> None:
    """Which the API says with a later approval: the control worker does not have the map."""
    bob, cat = Somebody(person="bob", listed=True), Somebody(person="cat", listed=True)
    first, second = (Vouched(by=each.person, identity=each, at=1) for each in (bob, cat))
    later = second.model_copy(update={"unlisted": ["bob"]})
    question = question_of().model_copy(update={"given": [first, second, None, later, first]})
    withdrawn = (await Approvals(nothing_registered, Handed().get).facts(question)).withdrawn
    assert withdrawn == ["bob is not in `people` of the access policy any more.", None, None, None, None]
    stranger = first.model_copy(update={"identity": Somebody(person="bob")})
    question = question_of().model_copy(update={"given": [stranger, later]})
    assert (await Approvals(nothing_registered, Handed().get).facts(question)).withdrawn == [None, None]


async def test_nothing_is_said_of_an_approval_while_the_store_does_not_answer() -> None:
    async def silent(credential_id: str) -> Credential:
        raise Unavailable("no answer")

    with pytest.raises(Unavailable):
        await Approvals(nothing_registered, silent).facts(question_of("k1"))


@pytest.mark.parametrize("definition", [_HERE, _IN_THE_REPOSITORY])
async def test_the_policy_is_the_registered_one(definition: dict[str, Any]) -> None:
    spec = ServiceSpec.model_validate({"git_repo": "https://example.com/shop.git", **definition})

    async def read(name: str) -> Service:
        return Service(name=name, version=1, spec=spec, created_at=1, updated_at=1)

    question = ApprovalQuestion(
        service_name="shop", environment="production", deployment_id="d", version="1", git_commit_sha="a" * 40, given=[]
    )
    policy = (await Approvals(read, Handed().get).facts(question)).policy
    assert policy is not None
    assert policy.required == 2
