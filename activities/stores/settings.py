"""The stores' settings, from the environment. Built by each process's entry point and passed down; nothing at import.

Credentials are deliberately not here: boto3 finds them by its own variables and files.
"""

from typing import Annotated, Final

from pydantic import AliasChoices, Field, StringConstraints, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from activities.ages import Age
from workflows.contracts.records import MOST_FILTER_LABELS

_DAY_SECONDS: Final = 86_400
_LONGEST_BAKE_SECONDS: Final = 8 * _DAY_SECONDS
_LONGEST_APPROVAL_SECONDS: Final = 90 * _DAY_SECONDS


Region = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,63}$")]
Endpoint = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")]


class StoreSettings(BaseSettings):
    """Where the records, logs and artifacts are.

    An endpoint URL means a server other than AWS's own (the embedded one, DynamoDB Local, an S3-compatible store).
    Table and bucket names default to ``hybrid-ci-cd-<entity>-<environment>``. ``dynamodb_event_shards``: over how many
    items the numbers of events are spread; the same for all processes, and never fewer than it once was.
    ``job_filter_labels`` (``team,stage``): the labels that lists of jobs can be filtered by, besides ``service``; the
    same for all processes. ``keep_sessions``: for so many seconds people can see what a session, token or key was that
    has ended, and approvals are judged by it; an approval waits for up to 90 days. ``keep_deliveries``: for so many
    seconds what webhooks sent is kept, with its bodies; what is kept already goes at the age of before.
    ``keep_metrics``: for so many seconds samples are kept; ``keep_incidents``: for so many an alert that rolled a
    version back rolls back no other.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    environment: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "development"
    aws_region: Region = Field(default="us-east-1", validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"))
    dynamodb_endpoint_url: Endpoint | None = None
    s3_endpoint_url: Endpoint | None = None
    dynamodb_table_jobs: str | None = None
    dynamodb_table_job_lists: str | None = None
    dynamodb_table_statistics: str | None = None
    dynamodb_table_deployments: str | None = None
    dynamodb_table_deployment_lists: str | None = None
    dynamodb_table_services: str | None = None
    dynamodb_table_environments: str | None = None
    dynamodb_table_events: str | None = None
    dynamodb_table_credentials: str | None = None
    dynamodb_table_agents: str | None = None
    dynamodb_table_deliveries: str | None = None
    dynamodb_table_metrics: str | None = None
    dynamodb_event_shards: int = Field(default=16, ge=1, le=64)
    job_filter_labels: Annotated[tuple[str, ...], NoDecode, Field(max_length=MOST_FILTER_LABELS)] = ()
    keep_sessions: Age = Field(default=100 * _DAY_SECONDS, validation_alias="HYBRIDCI_KEEP_SESSIONS")
    keep_deliveries: Age = Field(default=30 * _DAY_SECONDS, validation_alias="HYBRIDCI_KEEP_DELIVERIES")
    keep_metrics: Age = Field(default=30 * _DAY_SECONDS, validation_alias="HYBRIDCI_KEEP_METRICS")
    keep_incidents: Age = Field(default=_DAY_SECONDS, validation_alias="HYBRIDCI_KEEP_INCIDENTS")
    s3_bucket: str | None = None

    @field_validator("job_filter_labels", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))

    @field_validator("keep_sessions")
    @classmethod
    def _as_long_as_approvals(cls, seconds: int) -> int:
        if seconds < _LONGEST_APPROVAL_SECONDS:
            raise ValueError("must be 90d at least: an approval may wait so long, and is judged by its key or session")
        return seconds

    @field_validator("keep_metrics")
    @classmethod
    def _as_long_as_a_bake(cls, seconds: int) -> int:
        if seconds < _LONGEST_BAKE_SECONDS:
            raise ValueError("must be 8d at least: a version may bake for 7 days, and is judged by what came meanwhile")
        return seconds

    @property
    def jobs_table(self) -> str:
        """The table of job records."""
        return self.dynamodb_table_jobs or f"hybrid-ci-cd-jobs-{self.environment}"

    @property
    def job_lists_table(self) -> str:
        """The table of the lists that job records are found by."""
        return self.dynamodb_table_job_lists or f"hybrid-ci-cd-job-lists-{self.environment}"

    @property
    def statistics_table(self) -> str:
        """The table of counters."""
        return self.dynamodb_table_statistics or f"hybrid-ci-cd-statistics-{self.environment}"

    @property
    def deployments_table(self) -> str:
        """The table of deployment records."""
        return self.dynamodb_table_deployments or f"hybrid-ci-cd-deployments-{self.environment}"

    @property
    def deployment_lists_table(self) -> str:
        """The table of the lists that deployment records are found by."""
        return self.dynamodb_table_deployment_lists or f"hybrid-ci-cd-deployment-lists-{self.environment}"

    @property
    def services_table(self) -> str:
        """The table of services, each version of them."""
        return self.dynamodb_table_services or f"hybrid-ci-cd-services-{self.environment}"

    @property
    def environments_table(self) -> str:
        """The table of the environments' states."""
        return self.dynamodb_table_environments or f"hybrid-ci-cd-environments-{self.environment}"

    @property
    def events_table(self) -> str:
        """The table of the audit trail."""
        return self.dynamodb_table_events or f"hybrid-ci-cd-events-{self.environment}"

    @property
    def credentials_table(self) -> str:
        """The table of keys, sessions and tokens, by their digests."""
        return self.dynamodb_table_credentials or f"hybrid-ci-cd-credentials-{self.environment}"

    @property
    def agents_table(self) -> str:
        """The table of agents, their heartbeats, pools and demands."""
        return self.dynamodb_table_agents or f"hybrid-ci-cd-agents-{self.environment}"

    @property
    def deliveries_table(self) -> str:
        """The table of webhooks' deliveries."""
        return self.dynamodb_table_deliveries or f"hybrid-ci-cd-deliveries-{self.environment}"

    @property
    def metrics_table(self) -> str:
        """The table of samples and incidents."""
        return self.dynamodb_table_metrics or f"hybrid-ci-cd-metrics-{self.environment}"

    @property
    def bucket(self) -> str:
        """The bucket of logs and artifacts."""
        return self.s3_bucket or f"hybrid-ci-cd-logs-{self.environment}"
