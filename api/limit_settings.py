"""How much an API process takes, of its settings: requests and bodies. The rest of them is ``api.settings``."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.auth.limits import RateLimits
from api.http.pace import BodyLimits


class LimitSettings(BaseSettings):
    """The limits of one API process; each process counts for itself."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True)

    rate_limit: int = Field(
        default=3000,
        ge=0,
        validation_alias="HYBRIDCI_RATE_LIMIT",
        description="Changes a minute with one credential, in each API process; 0: any number. `POST "
        "/api/queue/jobs/batch` submits 100 jobs with one change.",
    )
    rate_limit_reads: int = Field(
        default=6000,
        ge=0,
        validation_alias="HYBRIDCI_RATE_LIMIT_READS",
        description="Reads a minute with one credential, in each API process; 0: any number.",
    )
    rate_limit_agents: int = Field(
        default=60_000,
        ge=0,
        validation_alias="HYBRIDCI_RATE_LIMIT_AGENTS",
        description="Requests a minute of one agent, in each API process; 0: any number.",
    )
    rate_limit_failures: int = Field(
        default=30,
        ge=0,
        validation_alias="HYBRIDCI_RATE_LIMIT_FAILURES",
        description="Unknown credentials a minute from one address, in each API process; 0: any number.",
    )

    body_grace: float = Field(
        default=20,
        ge=1,
        le=3600,
        validation_alias="HYBRIDCI_BODY_GRACE_SECONDS",
        description="Seconds of patience with a [body that comes slowly](operations.md#slow-and-many-bodies), 1 to "
        "3600.",
    )
    body_rate: int = Field(
        default=1024,
        ge=1,
        validation_alias="HYBRIDCI_BODY_BYTES_PER_SECOND",
        description="Bytes a second that a [body](operations.md#slow-and-many-bodies) must keep in the long run.",
    )
    body_deadline: float = Field(
        default=120,
        ge=1,
        allow_inf_nan=False,
        validation_alias="HYBRIDCI_BODY_DEADLINE_SECONDS",
        description="Seconds in which a [body](operations.md#slow-and-many-bodies) must be there, but for what agents "
        "upload.",
    )
    bodies_per_address: int = Field(
        default=64,
        ge=1,
        validation_alias="HYBRIDCI_OPEN_BODIES_PER_ADDRESS",
        description="How many bodies may be [on their way](operations.md#slow-and-many-bodies) at once from one "
        "address.",
    )
    bodies_in_all: int = Field(
        default=512,
        ge=1,
        validation_alias="HYBRIDCI_OPEN_BODIES",
        description="How many bodies may be [on their way](operations.md#slow-and-many-bodies) at once in all.",
    )

    def rate_limits(self) -> RateLimits:
        """Changes, reads and agents' requests a minute with one credential, unknown ones from one address; 0: any
        number.
        """
        return RateLimits(self.rate_limit, self.rate_limit_reads, self.rate_limit_agents, self.rate_limit_failures)

    def body_limits(self) -> BodyLimits:
        """How slowly bodies may come, and how many at once."""
        return BodyLimits(
            self.body_grace, self.body_rate, self.body_deadline, self.bodies_per_address, self.bodies_in_all
        )
