"""THE schema: tables, keys, shards, named conditions. Everything else takes these names from here.
Deliberately not here: creating the tables (``creation``).

``jobs`` (key ``job_id``): one item per job. ``document`` is the whole record as JSON text, since boto3 takes 20 times
longer to read the same as typed attributes; a large one is kept compressed as ``packed`` instead. Beside it stand the
``sequence`` and the ``footprint`` that conditions need.

``job_lists`` (keys ``list_shard``, ``place``): what records are found by. Each job has an entry in the list ``all``, in
the one of its status and in the one of its agent, written in the record's transaction. An entry holds the job's
``summary`` (so a page needs no second read) and what lists are filtered by. ``place`` is the time of creation and the
job id, so that no two are equal. A list is spread over LIST_SHARDS partitions (``status#running#2``), so that none is
hot.

What a job is found by besides, fixed when it is created, are lists of small entries without a summary
(``by_commit#<digest>``, ``by_branch#…``, ``by_author#…``, ``by_service#…``, ``by_repository#…`` and
``by_label_…#…``, see ``job_index``), sharded alike. The record's ``found_by`` names them. ``marks`` (``record``) says
from when on jobs have them.

Why not global secondary indexes: entries are read consistently, so a list shows what was just acknowledged; and the
embedded server answers a query of an index by reading the whole table (34 ms at 8,000 items, 1.5 ms for entries).

``statistics`` (keys ``counter``, ``shard``): counters, spread over COUNTER_SHARDS items each, because a transaction
excludes every other on the same item. ``queue`` are the queue's, ``day#2026-11-21`` a day's, which expire;
``deployments`` and ``deployments#2026-11-21`` are the deployments'. ``agent#…`` counts what an agent has completed, in
fewer items, since a page of agents reads all of them; they expire when the agent has completed nothing for long. One
item is no counter: ``sweeps`` holds how far the sweeps are, in ``document``.

``deployments`` and ``deployment_lists`` are like those of jobs; the ``footprint`` is the status, the lists are ``all``,
``status#…`` and ``service#…``. In ``versions#<service>`` stands by each version which commit it is (``commit``, and by
whom in ``document``): it stays when the deployment's record goes.

``environments`` (keys ``service_name``, ``environment``): one item per environment, with ``document`` and ``sequence``.
One item more, ``*line*`` (``*line*``), is the line's: what stops many services at once.

``services`` (keys ``group_name``, ``place``): in the group ``service#<name>`` an item for each version
(``v0000000012``) and one, ``present``, for the present one, and ``bans`` for what is banned of it, with its
``revision``; in the group ``all`` the present ones again, by name.

``events`` (keys ``list_shard``, ``place``): the audit trail, each event as an entry in ``all``, ``service#…``,
``deployment#…``, ``job#…`` and ``agent#…``, by its time, with what lists are filtered by. A ``seen#<event_id>`` item
says that the event is kept, so that it is kept once. In the order in which they were kept they stand in
``feed#<shard>``, numbered from 1 without a gap; ``head#<shard>`` has the last number given, ``subject#<subject>`` the
number, hash and place of a subject's last event, and as ``after_<number>`` the place of the one before this number,
where the row itself does not have it (see ``feed``).

In ``events`` too: in ``seals`` the seals of the trail by their numbers, in ``sent`` up to which number they were sent
elsewhere (see ``evidence``).

``agents`` (keys ``list_shard``, ``place``): each agent's record (``agent#<id>``, ``record``) with its ``document``,
``revision`` and ``pool``, and the document again, by id, in the lists ``all`` and ``pool#<pool>``, all in one
transaction. The last heartbeats stand by id in ``beats#<pool>``, so that a pool is read without knowing its agents;
they expire. A pool's record is in the list ``pools``, by name. What its jobs demand is in ``demands#<pool>``, by the
time of its last use; where exactly, the demand's own item says (``demand#<queue>``, ``record``). Both expire. ``all``,
``pool#…`` and ``beats#…`` are sharded like other lists.

``credentials`` (keys ``list_shard``, ``place``): each credential's record (``credential#<id>``, ``record``) with its
``document``, ``revision`` and ``last_used_at``, and an entry with its id in the list of its kind. Both expire by
themselves some time after the credential has.

``deliveries`` (keys ``list_shard``, ``place``): each delivery of a webhook (``delivery#<id>``: ``record`` with its
``document``, ``body``), and the document again in the lists ``all`` and ``service#…`` by the time it came first; how a
commit's checks ended (``checks#<digest>``), how many requests were not genuine on a day (``refused#<day>``, by
provider), and until when somebody has the turn (``turn#<name>``). All of it expires.
``metrics`` (keys ``list_shard``, ``place``): each sample in the list of its row (``samples#<deployment>#<row>``), by
its time, so that one of the same time takes its place; a deployment's rows (``rows#<deployment>``) by name; and which
alerts have rolled something back in an environment (``incidents#<service>/<environment>``), by their digests. All of
them expire.

Lists of one service, one deployment or one job are too small to be hot: they have one shard.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self

from activities.stores.settings import StoreSettings
from workflows.contracts.deployments.deployment import DeploymentStatus
from workflows.contracts.statuses import JobStatus

LIST_SHARDS: Final = 4
COUNTER_SHARDS: Final = 16

ALL_LIST: Final = "all"
POOLS_LIST: Final = "pools"
MARKS_LIST: Final = "marks"
TYPE: Final = "job_type"
QUEUE_COUNTER: Final = "queue"
DEPLOYMENTS_COUNTER: Final = "deployments"
LINE_PLACE: Final = "*line*"
PRESENT: Final = "present"
BANS_PLACE: Final = "bans"
RECORD_PLACE: Final = "record"
SWEEP_COUNTER: Final = "sweeps"
SEEN_PLACE: Final = "seen"
HEAD_PLACE: Final = "head"
SEALS_LIST: Final = "seals"
SENT_LIST: Final = "sent"
DAY_RETENTION_SECONDS: Final = 400 * 24 * 3600
AGENT_RETENTION_SECONDS: Final = 400 * 24 * 3600
AGENT_COUNTER_SHARDS: Final = 4
COMPLETED: Final = "completed"
TTL_ATTRIBUTE: Final = "expires_at"

RECORD_IS_NEW: Final = "attribute_not_exists(job_id)"
"""The job has no record yet."""
FOUND_BY_IS_SAME: Final = "#found_by = :found_by"
"""The stored record has entries in the lists that this write takes for granted."""
FOUND_BY_NOTHING: Final = "attribute_not_exists(#found_by)"
"""The stored record was written by a version that made no such entries."""
MARKS_ARE_NEW: Final = "attribute_not_exists(list_shard)"
"""Nobody has kept yet from when on jobs have entries."""
MARKS_FOLLOW: Final = "#marks = :before"
"""The stored marks are those that were read."""
SEQUENCE_IS_NEWER: Final = "#sequence < :sequence AND #footprint = :footprint"
"""The stored record is older, and it has contributed to counters and lists what this write takes back."""
IS_AS_READ: Final = "#sequence = :sequence AND #footprint = :footprint"
"""The stored record is the one that was read."""
DEPLOYMENT_IS_NEW: Final = "attribute_not_exists(deployment_id)"
"""The deployment has no record yet."""
VERSION_IS_THIS_COMMIT: Final = "attribute_not_exists(list_shard) OR #commit = :commit"
"""No deployment has said yet which commit this version is, or one has said that it is this one."""
ENVIRONMENT_IS_NEWER: Final = "attribute_not_exists(service_name) OR #sequence < :sequence"
"""The environment has no record yet, or an older one."""
LINE_IS_NEW: Final = "attribute_not_exists(service_name)"
"""There is no line yet."""
LINE_FOLLOWS: Final = "#sequence = :before"
"""The stored line is the one before this."""
VERSION_FOLLOWS: Final = "#version = :before"
"""The service's present version is the one before this."""
SERVICE_IS_NEW: Final = "attribute_not_exists(group_name)"
"""The service has no version yet."""
BANS_ARE_NEW: Final = "attribute_not_exists(group_name)"
"""Nothing of the service was ever banned."""
EVENT_IS_NEW: Final = "attribute_not_exists(list_shard)"
"""The event is not kept yet."""
NUMBER_FOLLOWS: Final = "#number = :before"
"""Nobody has given a number since this one."""
NUMBER_AND_HASH_FOLLOW: Final = "#number = :before AND #hash = :hash_before"
"""The same, and the event that has this number is the one that is meant."""
NUMBER_IS_FIRST: Final = "attribute_not_exists(list_shard)"
"""Nobody has given a number yet."""
SEAL_IS_NEW: Final = "attribute_not_exists(list_shard)"
"""No seal has this number yet."""
SENT_FURTHER: Final = "attribute_not_exists(list_shard) OR #number < :number"
"""Seals were not sent further than this before."""
INCIDENT_IS_FREE: Final = "attribute_not_exists(list_shard) OR #deployment = :deployment OR #expires < :now"
"""The incident has acted upon nothing, upon this very deployment, or so long ago that it is forgotten."""
INCIDENT_IS_ITS: Final = "#deployment = :deployment"
"""The incident has acted upon this deployment."""
CREDENTIAL_IS_NEW: Final = "attribute_not_exists(list_shard)"
"""The credential has no record yet."""
REVISION_FOLLOWS: Final = "#revision = :before"
"""The stored record is the one before this."""
AGENT_IS_NEW: Final = "attribute_not_exists(list_shard)"
"""The agent has no record yet."""
AGENT_FOLLOWS: Final = "#revision = :before AND #pool = :pool"
"""The stored record is the one before this, and in the lists of the pool that this write takes it out of."""
POOL_IS_NEW: Final = "attribute_not_exists(list_shard)"
"""The pool has no record yet."""
DEMAND_IS_NEW: Final = "attribute_not_exists(list_shard)"
"""Nobody made this demand yet, or it has expired."""
DEMAND_IS_UNCHANGED: Final = "#at = :before"
"""The demand stands in its list where it was found."""
IS_THERE: Final = "attribute_exists(list_shard)"
"""There is a record to add something to."""
TURN_IS_FREE: Final = "attribute_not_exists(list_shard) OR #until <= :now"
"""Nobody has this turn, or it has ended."""

Keys = Mapping[str, Literal["S", "N"]]
"""A table's keys, the partition's first, with their types."""
_LIST_KEYS: Final[Keys] = {"list_shard": "S", "place": "S"}
_COUNTER_KEYS: Final[Keys] = {"counter": "S", "shard": "N"}
FEED_PREFIX: Final = "feed#"
_SERVICE_LIST: Final = "service#"
_DEPLOYMENT_LIST: Final = "deployment#"
_JOB_LIST: Final = "job#"


@dataclass(frozen=True, slots=True)
class JobTables:
    """The names of the tables of jobs, and of the events that are written with them."""

    jobs: str
    job_lists: str
    statistics: str
    events: str

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The names that the settings give."""
        return cls(settings.jobs_table, settings.job_lists_table, settings.statistics_table, settings.events_table)


@dataclass(frozen=True, slots=True)
class DeploymentTables:
    """The names of the tables of deployments and what belongs to them."""

    deployments: str
    deployment_lists: str
    services: str
    environments: str
    events: str
    statistics: str

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The names that the settings give."""
        return cls(
            settings.deployments_table,
            settings.deployment_lists_table,
            settings.services_table,
            settings.environments_table,
            settings.events_table,
            settings.statistics_table,
        )


@dataclass(frozen=True, slots=True)
class CredentialTables:
    """The names of the tables of credentials and of the events that are written with them."""

    credentials: str
    events: str

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The names that the settings give."""
        return cls(settings.credentials_table, settings.events_table)


@dataclass(frozen=True, slots=True)
class AgentTables:
    """The names of the tables of agents and pools, and of the events that are written with them."""

    agents: str
    events: str

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The names that the settings give."""
        return cls(settings.agents_table, settings.events_table)


@dataclass(frozen=True, slots=True)
class DeliveryTables:
    """The name of the table of webhooks' deliveries."""

    deliveries: str

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The name that the settings give."""
        return cls(settings.deliveries_table)


@dataclass(frozen=True, slots=True)
class MetricTables:
    """The name of the table of samples."""

    metrics: str

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The name that the settings give."""
        return cls(settings.metrics_table)


def status_list(status: JobStatus | DeploymentStatus) -> str:
    """The list of the jobs or deployments in a state."""
    return f"status#{status.value}"


def agent_list(agent_id: str) -> str:
    """The list of the jobs whose last or present agent this is; the list of an agent's events."""
    return f"agent#{agent_id}"


def found_list(what: str, digest: str) -> str:
    """The list of the jobs with a value of one kind: ``by_commit#…``."""
    return f"by_{what}#{digest}"


def service_list(service_name: str) -> str:
    """The list of what belongs to a service: its deployments, its events, its versions."""
    return f"{_SERVICE_LIST}{service_name}"


def version_list(service_name: str) -> str:
    """Where it is said which commit each version of a service is."""
    return f"versions#{service_name}"


def deployment_list(deployment_id: str) -> str:
    """The list of a deployment's events."""
    return f"{_DEPLOYMENT_LIST}{deployment_id}"


def job_list(job_id: str) -> str:
    """The list of a job's events."""
    return f"{_JOB_LIST}{job_id}"


def agent_record(agent_id: str) -> str:
    """Where an agent's record is."""
    return f"agent#{agent_id}"


def pool_list(pool: str) -> str:
    """The list of a pool's agents."""
    return f"pool#{pool}"


def beat_list(pool: str) -> str:
    """The list of the last heartbeats of a pool's agents."""
    return f"beats#{pool}"


def demand_list(pool: str) -> str:
    """The list of what a pool's jobs demand of their agents."""
    return f"demands#{pool}"


def demand_record(queue: str) -> str:
    """Where the last use of a demand is, by the queue that its jobs wait in."""
    return f"demand#{queue}"


def kind_list(kind: str) -> str:
    """The list of the credentials of one kind."""
    return f"kind#{kind}"


def credential_record(credential_id: str) -> str:
    """Where a credential's record is."""
    return f"credential#{credential_id}"


def seen_list(event_id: str) -> str:
    """Where it is said that an event is kept."""
    return f"seen#{event_id}"


def feed_list(shard: int) -> str:
    """Where the events of a shard of the feed are, by their numbers."""
    return f"{FEED_PREFIX}{shard}"


def head_list(shard: int) -> str:
    """Where the last number of a shard of the feed is."""
    return f"head#{shard}"


def subject_list(subject: str) -> str:
    """Where the last number of a subject's events is."""
    return f"subject#{subject}"


def number_place(number: int) -> str:
    """Where an event stands in its shard of the feed."""
    return f"{number:015d}"


def sample_list(deployment_id: str, row: str) -> str:
    """Where the samples of a row are."""
    return f"samples#{deployment_id}#{row}"


def row_list(deployment_id: str) -> str:
    """Where the rows of a deployment are."""
    return f"rows#{deployment_id}"


def incident_list(service_name: str, environment: str) -> str:
    """Where the alerts are that rolled something back in an environment."""
    return f"incidents#{service_name}/{environment}"


def version_place(version: int) -> str:
    """Where a version of a service stands in its group."""
    return f"v{version:010d}"


def place(at: int, item_id: str) -> str:
    """Where an item stands in every list: by its time (ms), for a job its creation."""
    return f"{at:015d}#{item_id}"


def time_and_id(place: str) -> tuple[int, str]:
    """The time (ms) and id of a place."""
    at, _, item_id = place.partition("#")
    return int(at), item_id


def shards_of(name: str) -> int:
    """Over how many shards a list is spread."""
    return 1 if name.startswith((_SERVICE_LIST, _DEPLOYMENT_LIST, _JOB_LIST)) else LIST_SHARDS


def list_shard(name: str, item_id: str) -> str:
    """The partition of the list ``name`` that an item is in."""
    return partition(name, zlib.crc32(item_id.encode()) % shards_of(name))


def counter_shard(item_id: str) -> int:
    """The shard of the counters that a job or deployment moves."""
    return zlib.crc32(item_id.encode()) % COUNTER_SHARDS


def partition(name: str, shard: int) -> str:
    """The partition of one shard of a list."""
    return f"{name}#{shard}"


def day_counter(day: str) -> str:
    """The counter of a day, ``YYYY-MM-DD``."""
    return f"day#{day}"


def agent_counter(agent_id: str) -> str:
    """The counter of an agent."""
    return f"agent#{agent_id}"


def deployment_day_counter(day: str) -> str:
    """The counter of the deployments that were created on a day, ``YYYY-MM-DD``."""
    return f"{DEPLOYMENTS_COUNTER}#{day}"


Tables = JobTables | DeploymentTables | CredentialTables | AgentTables | DeliveryTables | MetricTables


def keys_of(tables: Tables) -> Mapping[str, Keys]:
    """Each table's keys, by its name."""
    match tables:
        case JobTables():
            return _job_tables(tables)
        case DeploymentTables():
            return _deployment_tables(tables)
        case CredentialTables():
            return {tables.credentials: _LIST_KEYS}
        case AgentTables():
            return {tables.agents: _LIST_KEYS, tables.events: _LIST_KEYS}
        case DeliveryTables():
            return {tables.deliveries: _LIST_KEYS}
        case MetricTables():
            return {tables.metrics: _LIST_KEYS}


def expiring(tables: Tables) -> str:
    """The one of the tables whose items can expire, by TTL_ATTRIBUTE."""
    match tables:
        case JobTables() | DeploymentTables():
            return tables.statistics
        case CredentialTables():
            return tables.credentials
        case AgentTables():
            return tables.agents
        case DeliveryTables():
            return tables.deliveries
        case MetricTables():
            return tables.metrics


def _job_tables(tables: JobTables) -> dict[str, Keys]:
    return {
        tables.jobs: {"job_id": "S"},
        tables.job_lists: _LIST_KEYS,
        tables.statistics: _COUNTER_KEYS,
        tables.events: _LIST_KEYS,
    }


def _deployment_tables(tables: DeploymentTables) -> dict[str, Keys]:
    return {
        tables.deployments: {"deployment_id": "S"},
        tables.deployment_lists: _LIST_KEYS,
        tables.services: {"group_name": "S", "place": "S"},
        tables.environments: {"service_name": "S", "environment": "S"},
        tables.events: _LIST_KEYS,
        tables.statistics: _COUNTER_KEYS,
    }
