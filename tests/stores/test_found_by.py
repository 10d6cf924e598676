"""The contract of JobStore: jobs are found by what is fixed at their creation, exactly, also while they change."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from activities.stores.dynamo import listing
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.items import RecordWrite, entry_keys
from activities.stores.dynamo.job_index import OVERLAP_MS, Marks, ensure_marks, read_marks
from activities.stores.dynamo.jobs import DynamoJobStore
from activities.stores.dynamo.table import JobTables
from activities.stores.dynamo.transactions import read_item
from activities.stores.interfaces.jobs import JobStore
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.jobs import MemoryJobStore
from activities.stores.settings import StoreSettings
from activities.stores.statistics import Footprint
from tests.stores.conftest import settings_for
from tests.stores.lives import NOON, Life, make_job
from tests.stores.releases import make_event
from tests.stores.test_lists import ids, pages, store
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobQuery, JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus

LABELS = ("team", "stage")
REPOSITORIES: dict[str, tuple[str, ...]] = {
    "shop": ("https://example.com/acme/shop.git", "git@example.com:Acme/shop", "ssh://git@example.com/acme/shop/"),
    "blog": ("https://example.com/acme/blog",),
    "wiki": ("file:///srv/wiki.git",),
}
AUTHORS = {"ann": ("ann@example.com", "Ann <Ann+ci@Example.com>"), "bob": ("bob@example.com",)}
BRANCHES = {"main": ("main", "refs/heads/main"), "feature/x": ("feature/x",), None: (None,)}


@pytest.fixture
def labelled(aws_endpoint: str) -> StoreSettings:
    return settings_for(aws_endpoint).model_copy(update={"job_filter_labels": LABELS})


@pytest.fixture(params=["memory", "embedded", "dynamodb-local"])
async def found(request: pytest.FixtureRequest, tables: JobTables) -> AsyncIterator[JobStore]:
    """A store whose lists are filtered by two labels."""
    if request.param == "memory":
        yield MemoryJobStore(MemoryEventStore(), LABELS)
        return
    name = "aws_endpoint" if request.param == "embedded" else "dynamodb_local_endpoint"
    settings = settings_for(request.getfixturevalue(name)).model_copy(update={"job_filter_labels": LABELS})
    clients = AwsClients(settings)
    await create_tables(clients, tables)
    yield DynamoJobStore(clients, tables)
    clients.close()


def some_job(chance: random.Random, created_at: int, **changes: Any) -> Job:
    """Any of many: what it is found by is said as people say it, each in several ways."""
    choose, labels = chance.choice, dict[str, str]()
    for name, values in (("service", "ab"), ("team", "xy"), ("stage", "st"), ("other", "z")):
        if chance.random() < 0.6:
            labels[name] = choose(values)
    status = choose([JobStatus.QUEUED, JobStatus.DEAD_LETTERED, JobStatus.SUCCESS, JobStatus.FAILED])
    fields: dict[str, Any] = {
        "git_repo": choose(choose(list(REPOSITORIES.values()))),
        "git_author": choose(choose(list(AUTHORS.values()))),
        "git_ref": choose(choose(list(BRANCHES.values()))),
        "git_commit_sha": choose("abc") * 40,
        "job_type": choose(["build", "test"]),
        "pool": choose(["default", "gpu"]),
        "agent_id": choose([None, "agent-1"]),
        "cause": choose([None, "exit_code", 'odd "cause" \\ ü']),
        "labels": labels,
        "status": status,
        **changes,
    }
    return make_job(created_at=created_at, **fields)


def some_query(chance: random.Random) -> JobQuery:
    choose = chance.choice
    asked: dict[str, Any] = {
        "repository": choose(choose(list(REPOSITORIES.values()))),
        "author": choose(choose(list(AUTHORS.values()))),
        "branch": choose(["main", "refs/heads/main", "feature/x", "nowhere"]),
        "commit": choose("abcd") * choose([40, 40, 7]),
        "service": choose("abc"),
        "job_type": choose(["build", "test"]),
        "pool": choose(["default", "gpu"]),
        "agent_id": "agent-1",
        "status": choose([JobStatus.QUEUED, JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.DEAD_LETTERED]),
        "labels": choose([{"team": "x"}, {"stage": "t"}, {"team": "y", "stage": "s"}]),
        "cause": choose(["exit_code", 'odd "cause" \\ ü', "none"]),
        "since": NOON + choose([0, 9_000, 30_000]),
        "until": NOON + choose([7_000, 40_000, 90_000]),
        "job_id": choose("0123456789abcdef"),
    }
    names = chance.sample(sorted(asked), chance.choice([1, 1, 1, 2, 2, 3]))
    return JobQuery.model_validate({**{name: asked[name] for name in names}, "limit": choose([3, 50])})


def said_of(choices: Any, text: str | None) -> Any:
    return next((name for name, forms in choices.items() if text in forms), text)


def wanted_of(query: JobQuery, jobs: list[Job]) -> list[str]:
    """By a look at each, with a table of what is the same in place of the store's rules."""

    def matches(job: Job) -> bool:
        plain = [
            (query.status, job.status), (query.agent_id, job.agent_id), (query.pool, job.pool),
            (query.job_type, job.job_type), (query.cause, job.cause),
            (query.service, job.labels.get("service")),
            (said_of(REPOSITORIES, query.repository), said_of(REPOSITORIES, job.git_repo)),
            (said_of(AUTHORS, query.author), said_of(AUTHORS, job.git_author)),
            (said_of(BRANCHES, query.branch) if query.branch else None, said_of(BRANCHES, job.git_ref)),
        ]  # fmt: skip
        if not job.job_id.startswith(query.job_id or "") or not job.git_commit_sha.startswith(query.commit or ""):
            return False
        if not (query.since or 0) <= job.created_at <= (query.until or job.created_at):
            return False
        asked_labels = all(job.labels.get(name) == value for name, value in query.labels.items())
        return asked_labels and all(asked is None or asked == has for asked, has in plain)

    newest_first = sorted(jobs, key=lambda job: (job.created_at, job.job_id), reverse=True)
    return [job.job_id for job in newest_first if matches(job)]


async def test_any_filters_choose_the_same_jobs_as_a_look_at_each(found: JobStore) -> None:
    chance = random.Random(14)
    made = [some_job(chance, NOON + number // 3 * 1000) for number in range(150)]
    await store(found, made)
    empty = 0
    for _ in range(60):
        query = some_query(chance)
        seen = ids(await pages(found, query))
        assert seen == wanted_of(query, made), query
        empty += not seen
    assert empty < 40, "the queries ask for what there is"


async def test_a_job_is_found_by_the_labels_that_it_has_now(found: JobStore) -> None:
    first = make_job(labels={"team": "x", "service": "shop"})
    second = first.model_copy(update={"labels": {"stage": "s", "service": "blog"}, "sequence": 2})
    third = second.model_copy(update={"labels": {}, "sequence": 3, "status": JobStatus.RUNNING})
    steps = [
        (JobWrite(job=first), [True, False, True, False]),
        (JobWrite(job=second, previous=QueueStatus.QUEUED), [False, True, False, True]),
        (JobWrite(job=third, previous=QueueStatus.QUEUED), [False, False, False, False]),
    ]
    queries = [JobQuery(labels={"team": "x"}), JobQuery(labels={"stage": "s"}), *map(of_service, ("shop", "blog"))]
    for write, expected in steps:
        await found.write(write)
        assert [bool(ids(await pages(found, query))) for query in queries] == expected
        by_another_list = {name: value for name, value in write.job.labels.items() if name in LABELS}
        of_commit = JobQuery(commit=write.job.git_commit_sha, labels=by_another_list)
        assert ids(await pages(found, of_commit)) == [first.job_id], "each entry says its labels"


async def test_labels_and_more_events_than_a_transaction_takes_change_in_one_write(found: JobStore) -> None:
    labels = {"team": "x", "stage": "s", "service": "shop"}
    first = make_job(git_ref="main", labels=labels)
    other = {name: f"{value}2" for name, value in labels.items()}
    second = first.model_copy(update={"labels": other, "sequence": 2, "agent_id": "a", "status": JobStatus.RUNNING})
    events = [make_event(f"e{number}", at=NOON + number, job_id=first.job_id, agent_id="a") for number in range(40)]
    await found.write(JobWrite(job=first))
    await found.write(JobWrite(job=second, previous=QueueStatus.QUEUED, events=events))
    assert ids(await pages(found, JobQuery(labels={"team": "x2", "stage": "s2"}, service="shop2"))) == [first.job_id]
    assert ids(await pages(found, JobQuery(labels={"team": "x"}))) == []


def of_service(name: str) -> JobQuery:
    return JobQuery(service=name)


async def test_a_label_that_is_not_allowed_is_refused_and_which_are_is_said(found: JobStore, jobs: JobStore) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await found.list(JobQuery(labels={"team": "x", "other": "z"}))
    assert [error.field for error in refused.value.errors] == ["label"]
    assert "team, stage" in refused.value.errors[0].message
    with pytest.raises(ValidationFailed, match="JOB_FILTER_LABELS"):
        await jobs.list(JobQuery(labels={"team": "x"}))


async def test_a_cursor_with_other_filters_is_refused(found: JobStore) -> None:
    await store(found, [make_job(created_at=NOON + number) for number in range(5)])
    commit = make_job().git_commit_sha
    cursor = (await found.list(JobQuery(limit=2, commit=commit))).next_cursor
    assert cursor is not None
    for other in (JobQuery(cursor=cursor), JobQuery(commit="a" * 40, cursor=cursor)):
        with pytest.raises(ValidationFailed):
            await found.list(other)


@pytest.mark.parametrize("asked", [{"repository": REPOSITORIES["shop"][0]}, {"author": "ann@example.com"}])
async def test_each_is_shown_once_and_none_is_missed_while_others_are_created_and_all_change(
    jobs: JobStore, asked: dict[str, str]
) -> None:
    chance = random.Random(7)
    fixed: dict[str, Any] = {"git_repo": REPOSITORIES["shop"][1], "git_author": "ann@example.com"}
    lives = [Life(chance, NOON - number) for number in range(40)]
    for life in lives:
        life.job = life.job.model_copy(update=fixed)
        life.writes[0] = JobWrite(job=life.job)
    await store(jobs, [life.job for life in lives])

    async def change() -> None:
        for number in range(40):
            life = chance.choice(lives)
            if not life.over:
                life.step()
                await jobs.write(life.writes[-1])
            await jobs.write(JobWrite(job=make_job(created_at=NOON + 1 + number, **fixed)))
            await asyncio.sleep(0)

    changing = [asyncio.create_task(change())]
    lists = 0
    while not changing[0].done():
        seen = ids(await pages(jobs, JobQuery.model_validate({**asked, "limit": 11})))
        assert len(seen) == len(set(seen))
        assert {life.job.job_id for life in lives} <= set(seen)
        lists += 1
        await asyncio.sleep(0)
    await asyncio.gather(*changing)
    assert lists > 1
    assert len(ids(await pages(jobs, JobQuery.model_validate({**asked, "limit": 100})))) == 80


async def test_a_page_that_looked_at_enough_says_so_and_where_to_go_on(
    found: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_MAX_QUERIES", 2)
    chance = random.Random(3)
    made = [some_job(chance, NOON + number, status=JobStatus.SUCCESS, job_type="build") for number in range(120)]
    rare = some_job(chance, NOON - 1, status=JobStatus.FAILED, job_type="rare", git_author="ann@example.com")
    await store(found, [*made, rare])
    for query in (
        JobQuery(job_type="rare", limit=2),
        JobQuery(author="ann@example.com", status=JobStatus.FAILED, limit=1),
    ):
        page = await found.list(query)
        assert ids(await pages(found, query)) == [rare.job_id]
        if isinstance(found, MemoryJobStore):
            assert not page.stopped_early
            continue
        assert page.stopped_early
        assert page.items == []
        assert page.looked_at is not None
        assert 0 < page.looked_at < 120
    whole = await found.list(JobQuery(limit=100))
    assert not whole.stopped_early


@pytest.mark.parametrize("asked", [{"branch": "main"}, {"author": "ann@example.com"}, {"labels": {"team": "x"}}])
async def test_what_is_rare_is_found_at_once_beside_what_is_common(
    found: JobStore, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    """The branch main of a repository that few work on, whichever list comes first."""
    monkeypatch.setattr(listing, "_MAX_QUERIES", 2)
    common: dict[str, Any] = {"git_ref": "main", "labels": {"team": "x"}}
    made = [make_job(created_at=NOON + number, **common) for number in range(200)]
    rare = make_job(created_at=NOON - 1, git_repo=REPOSITORIES["blog"][0], **common)
    await store(found, [*made, rare])
    page = await found.list(JobQuery.model_validate({**asked, "repository": REPOSITORIES["blog"][0], "limit": 5}))
    assert [job.job_id for job in page.items] == [rare.job_id]
    assert not page.stopped_early
    assert page.next_cursor is None


# DynamoDB alone: what is stored, and what a version before has stored.


def written_before(tables: JobTables, job: Job) -> list[dict[str, Any]]:
    """A creation as 241d277 wrote it: without entries of the index, and without a word about them."""
    actions = [action for action in RecordWrite(tables, job).actions(None) if not is_of_index(action)]
    actions[0]["Put"]["Item"] = {k: v for k, v in actions[0]["Put"]["Item"].items() if k != "found_by"}
    return actions


def is_of_index(action: dict[str, Any]) -> bool:
    return action.get("Put", {}).get("Item", {}).get("list_shard", {}).get("S", "").startswith("by_")


@pytest.fixture
async def own(labelled: StoreSettings, tables: JobTables) -> AsyncIterator[AwsClients]:
    clients = AwsClients(labelled)
    await create_tables(clients, tables)
    yield clients
    clients.close()


async def put_marks(clients: AwsClients, tables: JobTables, marks: Marks | None) -> None:
    key = {"list_shard": {"S": "marks"}, "place": {"S": "record"}}
    if marks is None:
        await clients.call(clients.dynamodb.delete_item, TableName=tables.job_lists, Key=key)
    else:
        item: Any = {**key, "marks": {"S": str(marks)}}
        await clients.call(clients.dynamodb.put_item, TableName=tables.job_lists, Item=item)


async def test_jobs_of_a_version_before_are_found_as_well(own: AwsClients, tables: JobTables) -> None:
    """Whether nobody has kept marks yet, or the page goes over them."""
    chance = random.Random(5)
    old = [some_job(chance, NOON + number * 1000) for number in range(60)]
    for job in old:
        actions: Any = written_before(tables, job)
        await own.call(own.dynamodb.transact_write_items, TransactItems=actions)
    await put_marks(own, tables, None)
    queries = [some_query(chance) for _ in range(25)]
    for query in queries:
        assert ids(await pages(DynamoJobStore(own, tables), query)) == wanted_of(query, old), query
    await ensure_marks(own, tables.job_lists)
    marks = await read_marks(own, tables.job_lists)
    assert marks is not None
    assert marks.since > NOON + OVERLAP_MS
    since = NOON + 60_000
    await put_marks(own, tables, Marks(since, {"team": since, "stage": since + 20_000}))
    jobs = DynamoJobStore(own, tables)
    made = [*old, *(some_job(chance, since + number * 1000) for number in range(60))]
    await store(jobs, made[60:])
    for query in queries:
        assert ids(await pages(jobs, query)) == wanted_of(query, made), query


async def test_a_job_of_before_is_given_its_entries_by_its_next_write(own: AwsClients, tables: JobTables) -> None:
    life = Life(random.Random(1))
    actions: Any = written_before(tables, life.job)
    await own.call(own.dynamodb.transact_write_items, TransactItems=actions)
    jobs, query = DynamoJobStore(own, tables), JobQuery(commit=life.job.git_commit_sha)
    assert ids(await pages(jobs, query)) == []  # in a store that says that it has no jobs of before
    life.announce()
    await jobs.write(life.writes[-1])
    assert ids(await pages(jobs, query)) == [life.job.job_id]


async def test_a_new_label_has_its_own_beginning_and_one_taken_away_is_forgotten(
    own: AwsClients, tables: JobTables, labelled: StoreSettings
) -> None:
    assert await read_marks(own, tables.job_lists) == Marks(0, {"team": 0, "stage": 0})
    await DynamoJobStore(own, tables).write(JobWrite(job=make_job(labels={"team": "x", "new": "n"})))
    other = AwsClients(labelled.model_copy(update={"job_filter_labels": ("team", "new")}))
    try:
        await asyncio.gather(*(ensure_marks(other, tables.job_lists) for _ in range(3)))
        marks = await read_marks(other, tables.job_lists)
        assert marks is not None
        assert (marks.since, set(marks.labels), marks.labels["team"]) == (0, {"team", "new"}, 0)
        assert marks.labels["new"] > NOON
        jobs = DynamoJobStore(other, tables)
        assert len(ids(await pages(jobs, JobQuery(labels={"new": "n"})))) == 1, "by the whole record"
        assert len(ids(await pages(jobs, JobQuery(labels={"new": "n", "team": "x"})))) == 1
    finally:
        other.close()


async def all_entries(clients: AwsClients, tables: JobTables) -> set[str]:
    answer: Any = await clients.call(clients.dynamodb.scan, TableName=tables.job_lists, ConsistentRead=True)
    return {item["list_shard"]["S"] for item in answer["Items"] if item["list_shard"]["S"] != "marks"}


async def test_a_records_item_says_all_entries_that_the_job_has(own: AwsClients, tables: JobTables) -> None:
    """What takes a job away takes all of them, whatever labels are allowed by then."""
    jobs, life = DynamoJobStore(own, tables), Life(random.Random(2))
    labels = {"team": "x", "stage": "s", "service": "shop", "other": "z"}
    life.job = life.job.model_copy(update={"labels": labels, "git_ref": "main"})
    life.writes[0] = JobWrite(job=life.job)
    await jobs.write(life.writes[0])
    assert len([name for name in await all_entries(own, tables) if name.startswith("by_")]) == 7
    life.announce()
    life.end(JobStatus.FAILED)
    for write in life.writes[1:]:
        await jobs.write(write)
    key: Any = {"job_id": {"S": life.job.job_id}}
    item = await read_item(own, tables.jobs, key, "footprint", "found_by")
    assert item is not None
    keys = entry_keys(life.job, item)
    assert {key["list_shard"]["S"] for key in keys} == await all_entries(own, tables)
    assert len(keys) == 10


def test_entries_are_made_once(tables: JobTables) -> None:
    """N: three for every job, one more for a branch, for a service, and for each label that is allowed."""
    most = make_job(git_ref="main", labels={"service": "s", **{name: "x" for name in "abcdef"}})
    counts = [
        sum(map(is_of_index, RecordWrite(tables, job, labels="abcd").actions(None)))
        for job in (make_job(), make_job(git_ref="main"), most)
    ]
    assert counts == [3, 4, 9]
    life = Life(random.Random(1))
    life.announce()
    later = RecordWrite(tables, life.job)
    assert not any(map(is_of_index, later.actions(later.stored_as(Footprint.of(life.writes[0].job)))))


@pytest.mark.parametrize("clients_for", ["aws_endpoint"])
async def test_a_write_of_the_version_before_loses_no_entry(
    own: AwsClients, tables: JobTables, clients_of: Callable[[str], AwsClients], clients_for: str
) -> None:
    """It puts the record without a word about the entries; the next write makes them again, as they are."""
    jobs, life = DynamoJobStore(own, tables), Life(random.Random(4))
    await jobs.write(life.writes[0])
    clients = clients_of(clients_for)
    before = Life(random.Random(4))
    before.job = life.job.model_copy(update={"pool": "gpu", "sequence": 2})
    actions: Any = written_before(tables, before.job)[:1]
    actions[0]["Put"].pop("ConditionExpression")
    await clients.call(clients.dynamodb.transact_write_items, TransactItems=actions)
    third = before.job.model_copy(update={"sequence": 3, "status": JobStatus.RUNNING, "agent_id": "a"})
    await jobs.write(JobWrite(job=third, previous=QueueStatus.QUEUED))
    for query in (JobQuery(commit=third.git_commit_sha), JobQuery(agent_id="a", author=third.git_author)):
        assert ids(await pages(jobs, query)) == [third.job_id]
