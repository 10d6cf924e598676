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
    Table and bucket names default to ``hybrid-ci-cd-<entity>-<environment>``.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    environment: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = Field(
        default="development",
        description="The installation's name, in its tables' names too; the same in all processes.",
    )
    aws_region: Region = Field(
        default="us-east-1",
        validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"),
        description="AWS's region; or `AWS_DEFAULT_REGION`.",
    )
    dynamodb_endpoint_url: Endpoint | None = Field(
        default=None, description="Where records are kept, when on another server than AWS's DynamoDB."
    )
    s3_endpoint_url: Endpoint | None = Field(
        default=None, description="Where logs and artifacts are kept, when on another server than AWS's S3."
    )
    dynamodb_table_jobs: str | None = Field(
        default=None, description="Table of jobs. Empty: `hybrid-ci-cd-jobs-<ENVIRONMENT>`."
    )
    dynamodb_table_job_lists: str | None = Field(
        default=None, description="Table of jobs' lists. Empty: `hybrid-ci-cd-job-lists-<ENVIRONMENT>`."
    )
    dynamodb_table_statistics: str | None = Field(
        default=None, description="Table of counters. Empty: `hybrid-ci-cd-statistics-<ENVIRONMENT>`."
    )
    dynamodb_table_deployments: str | None = Field(
        default=None, description="Table of deployments. Empty: `hybrid-ci-cd-deployments-<ENVIRONMENT>`."
    )
    dynamodb_table_deployment_lists: str | None = Field(
        default=None, description="Table of deployments' lists. Empty: `hybrid-ci-cd-deployment-lists-<ENVIRONMENT>`."
    )
    dynamodb_table_services: str | None = Field(
        default=None, description="Table of services. Empty: `hybrid-ci-cd-services-<ENVIRONMENT>`."
    )
    dynamodb_table_environments: str | None = Field(
        default=None, description="Table of environments. Empty: `hybrid-ci-cd-environments-<ENVIRONMENT>`."
    )
    dynamodb_table_events: str | None = Field(
        default=None, description="Table of the audit trail. Empty: `hybrid-ci-cd-events-<ENVIRONMENT>`."
    )
    dynamodb_table_credentials: str | None = Field(
        default=None, description="Table of keys, sessions and tokens. Empty: `hybrid-ci-cd-credentials-<ENVIRONMENT>`."
    )
    dynamodb_table_agents: str | None = Field(
        default=None, description="Table of agents and pools. Empty: `hybrid-ci-cd-agents-<ENVIRONMENT>`."
    )
    dynamodb_table_deliveries: str | None = Field(
        default=None, description="Table of webhooks' deliveries. Empty: `hybrid-ci-cd-deliveries-<ENVIRONMENT>`."
    )
    dynamodb_table_metrics: str | None = Field(
        default=None, description="Table of samples and incidents. Empty: `hybrid-ci-cd-metrics-<ENVIRONMENT>`."
    )
    dynamodb_event_shards: int = Field(
        default=16,
        ge=1,
        le=64,
        description="Over how many items the numbers of events are spread, 1 to 64. The same in all processes, and "
        "never less than it once was. 16 take some 1,000 writes with events a second.",
    )
    job_filter_labels: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        max_length=MOST_FILTER_LABELS,
        description="Labels that lists of jobs can be filtered by besides `service`, with commas (`team,stage`), four "
        "at most. The same in all processes. Each costs an item of every job that has it; [jobs of "
        "before](jobs.md#find-jobs) are found as well, more slowly. Empty: none.",
    )
    keep_sessions: Age = Field(
        default=100 * _DAY_SECONDS,
        validation_alias="HYBRIDCI_KEEP_SESSIONS",
        description="How long people can see what a session, token or key was that has ended, and approvals are "
        "judged by it: 90d at least, as an approval may wait so long; agents' are kept for 7d.",
    )
    keep_deliveries: Age = Field(
        default=30 * _DAY_SECONDS,
        validation_alias="HYBRIDCI_KEEP_DELIVERIES",
        description="How long [what webhooks sent](webhooks.md#what-came-and-what-it-did) is kept, with its bodies, "
        "and what was seen of checks. It holds personal data. What is kept already goes at the age of "
        "before.",
    )
    keep_metrics: Age = Field(
        default=30 * _DAY_SECONDS,
        validation_alias="HYBRIDCI_KEEP_METRICS",
        description="How long samples of [metrics](deployments.md#metrics) are kept: 8d at least.",
    )
    keep_incidents: Age = Field(
        default=_DAY_SECONDS,
        validation_alias="HYBRIDCI_KEEP_INCIDENTS",
        description="For how long is kept that an [alert](webhooks.md#alerts) has acted: meanwhile it rolls back no "
        "other version.",
    )
    s3_bucket: str | None = Field(
        default=None, description="Bucket of logs and artifacts. Empty: `hybrid-ci-cd-logs-<ENVIRONMENT>`."
    )

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
