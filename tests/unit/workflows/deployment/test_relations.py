"""What the order of commits means, without Temporal."""

import pytest

from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import Order
from workflows.contracts.deployments.order import Push
from workflows.contracts.deployments.relations import MAX_RELATIONS, HowFound, Relation
from workflows.contracts.deployments.services import Environment, ServiceSpec
from workflows.deployment import record
from workflows.deployment.rules.relations import CommitStanding, by_pushes, mark, warning

SPEC = ServiceSpec.model_validate(
    {"git_repo": "https://x.example/y.git", "environments": [{"name": "a", "external": True}]}
)
DEPLOYMENT = Deployment(
    deployment_id="own", service_name="shop", service_version=1, version="1.1", git_repo="https://x.example/y.git",
    git_commit_sha="b" * 40, git_author="ann", definition=SPEC, created_at=1, updated_at=1,
)  # fmt: skip
PUSHES = [Push(before="a", after="b"), Push(before="b", after="c"), Push(before="c", after="b")]


def environment(**fields: object) -> Environment:
    return Environment.model_validate({"name": "production", "external": True, **fields})


def relation(order: Order, version: str = "1.2", where: str = "production") -> Relation:
    return Relation(
        environment=where, deployment_id=version, version=version, git_commit_sha=version.ljust(40, "0"),
        place="is live", order=order, found=HowFound.AGENT, at=1,
    )  # fmt: skip


@pytest.mark.parametrize("order", Order)
def test_only_a_proven_ancestor_stands_back_and_only_where_nobody_is_asked(order: Order) -> None:
    found = relation(order)
    standing = CommitStanding((found,))
    older = order is Order.OLDER
    assert standing.outdated(DEPLOYMENT, environment()) == (found if older else None)
    assert standing.asks(DEPLOYMENT, environment(), []) is None
    asking = environment(older_commits="ask")
    assert standing.outdated(DEPLOYMENT, asking) is None
    assert standing.asks(DEPLOYMENT, asking, []) == (found if older else None)
    assert standing.asks(DEPLOYMENT, asking, [mark(found)]) is None
    allowed = DEPLOYMENT.model_copy(update={"allow_older": "the law"})
    assert standing.outdated(allowed, environment()) is standing.asks(allowed, asking, []) is None
    assert bool(standing.doubts) == (order in {Order.OLDER, Order.DIVERGED, Order.UNKNOWN})
    assert bool(warning(standing.relations)) == bool(standing.doubts)


@pytest.mark.parametrize(
    ("ours", "theirs", "order"),
    [
        ("b", "a", Order.NEWER),
        ("a", "b", Order.OLDER),
        ("a", "c", Order.OLDER),
        ("x", "a", Order.UNKNOWN),
        ("a", "x", Order.UNKNOWN),
    ],
)
def test_pushes_prove_an_order_and_never_that_two_have_diverged(ours: str, theirs: str, order: Order) -> None:
    """Also when forges contradict themselves, it comes to an end."""
    assert by_pushes(PUSHES, ours, theirs) is order


def test_a_record_keeps_the_latest_relations_of_each_place() -> None:
    kept = record.related(DEPLOYMENT, [relation(Order.UNKNOWN), relation(Order.NEWER, where="staging")])
    kept = record.related(kept, [relation(Order.OLDER)])
    assert [(each.environment, each.order) for each in kept.relations] == [
        ("staging", Order.NEWER),
        ("production", Order.OLDER),
    ]
    assert kept.remarks == ["older than 1.2"]
    many = record.related(kept, [relation(Order.NEWER, version=f"v{number}") for number in range(50)])
    assert len(many.relations) == MAX_RELATIONS
    assert many.relations[-1].version == "v49"
    assert "relations" not in DEPLOYMENT.model_dump(), "what older versions wrote is written as before"
