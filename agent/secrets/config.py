"""The agent's secrets file (HYBRIDCI_SECRETS_FILE): where each secret comes from and which jobs may have it.

```yaml
DB_URL: {env: SHOP_DB_URL}
DEPLOY_KEY: {file: /run/secrets/deploy_key, as: file, repositories: ["https://example.com/*"]}
API_TOKEN: {aws_secret: shop/api, key: token, pools: [production], job_types: [deploy]}
LICENSE: {ssm: /shop/license, mask: false}
PROD: {env: PROD_TOKEN, signed: true, services: [checkout]}
VAULT: {command: [vault, kv, get, -field=token, secret/shop], timeout_seconds: 5}
```

Deliberately not here: how a value is fetched (``providers``).
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, StrictBool, StringConstraints, TypeAdapter, model_validator

from agent.safety.specifications import SETTING as CONTROL_KEYS
from agent.safety.specifications import Verified, matches
from agent.yaml_file import read_yaml
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.base import Frozen
from workflows.contracts.fields import EnvName

SETTING: Final = "HYBRIDCI_SECRETS_FILE"
_Text = Annotated[str, StringConstraints(min_length=1)]


class ProviderKind(StrEnum):
    """Where a secret comes from."""

    ENV = "env"
    FILE = "file"
    AWS_SECRET = "aws_secret"  # noqa: S105 - a kind
    SSM = "ssm"
    COMMAND = "command"


class Handover(StrEnum):
    """How the job gets it: in the variable, or in a file in memory whose path the variable holds."""

    VARIABLE = "variable"
    FILE = "file"


class SecretSource(Frozen):
    """One secret. Exactly one of the first five says where it comes from; ``key`` is one of a secret that is JSON.

    ``repositories``, ``pools``, ``job_types`` and ``services`` are patterns with ``*``; None: all. ``mask`` False: it
    may be printed. ``signed``: only for what the control plane has signed, as ``services`` asks for too; the other
    filters hold what the job says of itself.
    """

    env: _Text | None = None
    file: Path | None = None
    aws_secret: _Text | None = None
    ssm: _Text | None = None
    command: list[_Text] | None = Field(default=None, min_length=1)
    key: _Text | None = None
    timeout_seconds: float = Field(default=20, gt=0, le=300)
    handover: Handover = Field(default=Handover.VARIABLE, alias="as")
    repositories: list[_Text] | None = None
    pools: list[_Text] | None = None
    job_types: list[_Text] | None = None
    services: list[_Text] | None = None
    signed: StrictBool = False
    mask: StrictBool = True

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        given = [kind.value for kind in ProviderKind if getattr(self, kind.value) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of {', '.join(ProviderKind)} is needed, not {', '.join(given) or 'none'}")
        if self.key is not None and self.aws_secret is None:
            raise ValueError("`key` goes with `aws_secret` only")
        return self

    @property
    def kind(self) -> ProviderKind:
        """Which one it is."""
        return next(kind for kind in ProviderKind if getattr(self, kind.value) is not None)

    def refusal(self, attempt: AttemptInput, verified: Verified | None = None) -> str | None:
        """Why this job may not have it, or None. ``verified``: what the control plane has signed of it."""
        if verified is None and (self.signed or self.services is not None):
            return f"it is only for deployments' jobs that the control plane has signed ({CONTROL_KEYS})"
        for what, value, allowed in (
            ("repository", attempt.git_repo, self.repositories),
            ("pool", attempt.pool, self.pools),
            ("job type", attempt.job_type, self.job_types),
            ("service", verified.service if verified is not None else "", self.services),
        ):
            if allowed is not None and not matches(value, allowed):
                return f"it is not for this {what}"
        return None


def load_sources(path: Path) -> dict[str, SecretSource]:
    """The agent's secrets by name. Raises SettingsError."""
    return read_yaml(path, SETTING, TypeAdapter(dict[EnvName, SecretSource]))
