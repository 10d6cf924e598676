"""Who may approve, as a table. Pure: no server.

Deliberately not here: the way of an approval through the API and Temporal (``tests/workflows/test_persons``,
``tests/api/test_persons``).
"""

import re
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.deployment_records import make_deployment
from workflows.contracts.deployments.approvals import ApprovalFacts
from workflows.contracts.deployments.commands import Approve
from workflows.contracts.deployments.deployment import Approval, Decision, Deployment
from workflows.contracts.deployments.rules import ApprovalGroup, ApprovalPolicy
from workflows.contracts.identity.people import GitPeople, GitPerson, Parties, Somebody, Vouched, identity_of
from workflows.deployment import judging
from workflows.deployment.context import Context
from workflows.deployment.progress import Phase, Progress
from workflows.deployment.record import git_people_found
from workflows.deployment.rules.approvals import approval_refused, in_force, judged, missing
from workflows.deployment.state import State

HERE = "production"
SHA = "a" * 40
ANN, BOB, CAT = (identity_of(f"{name}@example.com") for name in ("ann", "bob", "cat"))
PARTIES = Parties(author=ANN, starter=Somebody(person="rita", names=["key:rita"]))
POLICY = ApprovalPolicy()


def deployment(**changes: Any) -> Deployment:
    return make_deployment(parties=PARTIES, **changes)


def entry(who: Somebody, by: str | None = None, **changes: Any) -> Approval:
    by = by or who.person
    vouched = Vouched(by=by, identity=who, environment=HERE, acts_for=changes.pop("acts_for", None), at=1)
    given = {"environment": HERE, "decision": Decision.APPROVE, "by": by, "at": 1, "git_commit_sha": SHA}
    return Approval.model_validate({**given, "person": who.person, "vouched": vouched, **changes})


def old(by: str) -> Approval:
    """Given before persons were known."""
    return Approval(environment=HERE, decision=Decision.APPROVE, by=by, at=1, git_commit_sha=SHA)


def rule(asked: ApprovalPolicy, *given: Approval, **facts: Any) -> list[str | None]:
    """For each why it does not count; None when it does."""
    known = ApprovalFacts.model_validate({"doubts": [None] * len(given), **facts})
    return [each.why for each in judged(asked, deployment(), HERE, given, known)]


@pytest.mark.parametrize(
    ("who", "words"),
    [
        (ANN, "is the author of"),
        (identity_of("Ann <ann+work@example.com>"), "is the author of"),
        (Somebody(person="oidc:corp:1", hints=["ann@example.com"]), "is the author of"),
        (Somebody(person="key:1", names=["key:ann@example.com"], hints=["ann@example.com"]), "is the author of"),
        (Somebody(person="rita"), "started"),
        (Somebody(person="oidc:corp:2", names=["key:rita"]), "started"),
        (Somebody(person="bob", maker="rita"), r"started .* \(one of the two made the key of the other\)"),
        (Somebody(person="machine:key:9", machine=True), "is a machine"),
    ],
)
def test_who_does_not_count(who: Somebody, words: str) -> None:
    (why,) = rule(POLICY, entry(who))
    assert why is not None
    assert re.search(words, why)


def test_an_admin_counts_as_itself_and_not_for_the_author() -> None:
    admin = Somebody(person="admin")
    (why,) = rule(POLICY, entry(admin, "admin for ann@example.com", acts_for="ann@example.com"))
    assert why is not None
    assert "is the author" in why
    once, twice = rule(
        POLICY,
        entry(admin, "admin for bob@example.com", acts_for="bob@example.com"),
        entry(admin, "admin for cat@example.com", acts_for="cat@example.com"),
    )
    assert once is None
    assert twice is not None
    assert "is the person who has approved" in twice


def test_what_a_service_and_an_installation_allow() -> None:
    assert rule(ApprovalPolicy(allow_author=True), entry(ANN)) == [None]
    assert rule(ApprovalPolicy(allow_machines=True), entry(Somebody(person="m", machine=True))) == [None]
    assert rule(POLICY, entry(Somebody(person="rita")), allow_self_approval=True) == [None]
    present = ApprovalPolicy()
    (taken_back,) = rule(ApprovalPolicy(allow_author=True), entry(ANN), policy=present)
    assert taken_back is not None, "the service allows it no more"


def test_a_self_approval_says_so() -> None:
    facts = ApprovalFacts(doubts=[None], allow_self_approval=True)
    (said,) = judged(POLICY, deployment(), HERE, [entry(Somebody(person="rita"))], facts)
    assert (said.counts, said.self_approval, said.marks) == (True, True, ["self-approval: whoever started it gave it"])


def test_an_unverified_one_counts_only_where_that_is_allowed_and_says_so() -> None:
    forged = entry(BOB, vouched=None, person=None).model_copy(update={"person": "bob@example.com"})
    (why,) = rule(POLICY, forged, doubts=["no proof"])
    assert why == ("Nobody can tell that bob@example.com gave it: no proof. production takes verified approvals only.")
    for policy, installation in ((ApprovalPolicy(allow_unverified=True), False), (POLICY, True)):
        facts = ApprovalFacts(doubts=["no proof"], allow_unverified=installation)
        (allowed,) = judged(policy, deployment(), HERE, [forged], facts)
        assert (allowed.counts, allowed.verified) == (True, False)
        assert allowed.marks == ["unverified: it or the deployment came straight from Temporal"]
    refused = rule(ApprovalPolicy(allow_unverified=False), forged, doubts=["no proof"], allow_unverified=True)
    assert refused != [None], "the service says no"


def test_the_word_of_the_api_is_of_whom_it_names() -> None:
    swapped = entry(CAT, "bob@example.com").model_copy(update={"by": "cat@example.com"})
    (why,) = rule(POLICY, swapped)
    assert why is not None
    assert "was given by bob@example.com" in why


def test_groups_are_read_as_they_are_now() -> None:
    group = {"name": "sre", "members": ["cat@example.com"]}
    then = ApprovalPolicy.model_validate({"groups": [group]})
    now = ApprovalPolicy.model_validate({"groups": [{**group, "members": ["bob@example.com"]}]})
    removed, added = rule(then, entry(CAT), entry(BOB), policy=now)
    assert removed == "cat@example.com is in none of the groups that may approve production: sre."
    assert added is None
    assert rule(then, entry(CAT), policy=ApprovalPolicy()) == [None], "a group that is gone is as it was"
    assert in_force(then, ApprovalFacts(policy=now)).groups[0].required == 1


def test_who_left_the_service_leaves_the_groups_of_a_commit_too() -> None:
    """A commit's file may narrow a group of the service, or add one of its members."""
    both, one = ["bob@example.com", "cat@example.com"], ["cat@example.com"]
    then = ApprovalPolicy.model_validate(
        {
            "groups": [
                {"name": name, "members": members} for name, members in (("sre", both), ("sre", one), ("leads", one))
            ]
        }
    )
    same = ApprovalPolicy.model_validate({"groups": [{"name": "sre", "members": both}]})
    assert [group.members for group in in_force(then, ApprovalFacts(policy=same)).groups] == [both, one, one]
    cat_left = ApprovalPolicy.model_validate({"groups": [{"name": "sre", "members": ["bob@example.com"]}]})
    left = in_force(then, ApprovalFacts(policy=cat_left)).groups
    assert [group.members for group in left] == [["bob@example.com"], [], []]


def test_a_display_name_lets_nobody_into_a_group() -> None:
    policy = ApprovalPolicy(groups=[ApprovalGroup(name="sre", members=["bob@example.com"])])
    (why,) = rule(policy, entry(Somebody(person="key:1", names=["key:bob@example.com"], hints=["bob@example.com"])))
    assert why is not None
    assert rule(policy, entry(Somebody(person="bob", names=["bob@example.com"]))) == [None]


def test_one_of_before_is_kept_as_it_was_given() -> None:
    groups = [{"name": name, "members": ["bob@example.com"]} for name in ("dev", "sre")]
    policy = ApprovalPolicy.model_validate({"groups": groups})
    facts = ApprovalFacts(doubts=["no proof"])
    (kept,) = judged(policy, deployment(), HERE, [old("bob@example.com")], facts)
    assert (kept.counts, kept.verified, kept.marks) == (True, None, [kept.why])
    assert kept.why == "kept as it was given, before persons were compared"
    assert missing(policy, [kept], HERE) is None, "then, one counted for both groups"


def test_one_member_of_two_groups_counts_for_one() -> None:
    groups = [{"name": "dev", "members": ["bob@example.com"]}, {"name": "sre", "members": ["bob@example.com", "cat@x"]}]
    policy = ApprovalPolicy.model_validate({"groups": groups})
    bob = entry(BOB, groups=["dev", "sre"])
    assert missing(policy, [bob], HERE) == "0 of 1 by sre"
    assert missing(policy, [bob, entry(Somebody(person="cat@x"), groups=["sre"])], HERE) is None
    allowed = policy.model_copy(update={"one_person_many_groups": True})
    assert missing(allowed, [bob], HERE) is None


@given(st.lists(st.sets(st.sampled_from("abc")), max_size=5), st.lists(st.integers(1, 2), min_size=3, max_size=3))
def test_the_groups_places_are_filled_when_they_can_be(memberships: list[set[str]], required: list[int]) -> None:
    groups = [
        ApprovalGroup(name=name, members=["x", "y"], required=number)
        for name, number in zip("abc", required, strict=True)
    ]
    people = [entry(Somebody(person=f"p{number}"), groups=sorted(names)) for number, names in enumerate(memberships)]
    places = [group.name for group in groups for _ in range(group.required)]
    possible = len(people) >= len(places) and any(
        all(place in person.groups for place, person in zip(places, chosen, strict=True))
        for chosen in permutations(people, len(places))
    )
    assert (missing(ApprovalPolicy(groups=groups), people, HERE) is None) is possible


def test_what_the_api_vouches_for_is_for_the_environment_that_waits() -> None:
    vouched = Vouched(by="bob@example.com", identity=BOB, environment="staging", at=1)
    refused = approval_refused(POLICY, deployment(), HERE, Approve(by="bob@example.com", vouched=vouched), 1)
    assert refused is not None
    assert "waits for approval of production only now" in refused


def test_a_committer_is_an_author_too() -> None:
    parties = PARTIES.model_copy(update={"committer": CAT})
    record = make_deployment(parties=parties)
    (said,) = judged(POLICY, record, HERE, [entry(CAT)], ApprovalFacts(doubts=[None]))
    assert (said.counts, said.why) == (
        False,
        f"cat@example.com is the committer of {record.version}: somebody else must approve it for production.",
    )


def git_people(author: str, committer: str) -> GitPeople:
    """Each as ``name address``."""
    (name, address), (other, its_address) = author.split(), committer.split()
    return GitPeople(author=GitPerson(name=name, address=address), committer=GitPerson(name=other, address=its_address))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (git_people("Cat cat@example.com", "Zoe zoe@example.com"), r"the author of 1.0, as its commit says \(Cat <cat"),
        (git_people("Zoe zoe@example.com", "Cat cat@example.com"), "the committer of 1.0, as its commit says"),
        (git_people("Zoe zoe@example.com", "C CAT+x@Example.com"), "the committer of 1.0, as its commit says"),
        (git_people("cat@example.com z@x", "Zoe zoe@example.com"), "the author of 1.0, as its commit says"),
        (git_people("Zoe zoe@example.com", "GitHub noreply@github.com"), None),
        (git_people("Zoe zoe@example.com", "GitHub cat@x"), None),
    ],
)
def test_whom_the_commit_names_does_not_approve_it_whatever_its_starter_says(
    found: GitPeople, words: str | None
) -> None:
    record = deployment(git_people=[git_people("Zoe zoe@example.com", "Zoe zoe@example.com"), found])
    (said,) = judged(POLICY, record, HERE, [entry(CAT)], ApprovalFacts(doubts=[None]))
    asked = Approve(by="cat@example.com")
    refused = approval_refused(POLICY, record, HERE, asked, 1)
    assert (refused or "").partition(" Who may:")[0] == (said.why or "")
    assert said.counts is (words is None)
    if words is not None:
        assert re.search(words, said.why or "")
    allowed = ApprovalPolicy(allow_author=True)
    assert approval_refused(allowed, record, HERE, asked, 1) is None, "where the service lets authors approve"
    own = approval_refused(POLICY, record, HERE, Approve(by="ann@example.com"), 1)
    words = "ann@example.com is the author of 1.0: somebody else must approve it for production. Who may: "
    assert (own or "").startswith(words), "it adds only"


def test_agents_that_name_ever_others_do_not_hide_who_wrote_it() -> None:
    """A record keeps eight answers: before one is lost, nobody can approve."""
    record = deployment()
    for number in range(20):
        found = [git_people(f"Zoe zoe{number}@example.com", "Zoe zoe@example.com")]
        record = git_people_found(record, found)
    assert len(record.git_people) == 8
    (said,) = judged(POLICY, record, HERE, [entry(CAT)], ApprovalFacts(doubts=[None]))
    assert (said.counts, (said.why or "")[:57]) == (False, "Agents name 8 different authors and committers of 1.0, so")
    fewer = deployment(git_people=record.git_people[:7])
    assert judged(POLICY, fewer, HERE, [entry(CAT)], ApprovalFacts(doubts=[None]))[0].counts


def test_lists_say_what_is_to_be_known_of_the_approvals() -> None:
    said = deployment(approvals=[entry(BOB, self_approval=True), entry(CAT, verified=False)])
    assert said.summary().remarks == ["self-approved", "approved unverified"]
    assert deployment(approvals=[entry(BOB, self_approval=True, counts=False), entry(CAT)]).summary().remarks == []


def test_what_is_given_after_an_upgrade_is_judged_whatever_was_given_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK remembers its answer for a name: a history with approvals of then would stay with the rules of then."""
    asked: list[str] = []
    monkeypatch.setattr(judging.workflow, "patched", lambda name: asked.append(name) or True)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    for approvals in ([], [entry(BOB)], [old("x")], [old("x"), entry(BOB)], [old("x"), old("y")]):
        state = State(deployment(approvals=approvals), Progress(phase=Phase.APPROVAL))
        assert judging.are_judged(Context.of(state, resumed=True))
    name = "approvals-are-judged"
    assert asked == [name, name, f"{name}-after-1", f"{name}-after-1", f"{name}-after-2"]
