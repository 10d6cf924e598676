"""Approvals that this agent checks itself: with HYBRIDCI_APPROVERS_FILE it runs only what the keys in it have signed,
so that a control plane in wrong hands cannot deploy.

```yaml
- service: checkout
  environment: production
  repository: https://example.com/checkout.git     # a pattern with *
  required: 2
  keys:
    - {name: bob, key: 3jmc…=}                     # made by `hybridci approver keygen`
    - {name: cat, key: 9Wf0…=}
  commands: [./deploy.sh, ./smoke.sh]              # optional: the only steps that may run
  variables: [REGION]                              # and what may be set for them besides HYBRIDCI_*
```

A signature holds a commit, not a command: without ``commands`` it is the control plane that says what runs in it.
Deliberately not here: signing (``api.cli.keys.approval_signing``) and what the control plane asks of an approval.
"""

import hashlib
import logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Self

from nacl.encoding import Base64Encoder
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from agent.settings import AgentSettings
from agent.state_file import remove_torn, replace_file
from agent.yaml_file import read_yaml
from workflows.contracts.agents import PublicKey
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.base import Frozen
from workflows.contracts.jobs import Step
from workflows.contracts.sealed import SignedApproval, key_id

SETTING: Final = "HYBRIDCI_APPROVERS_FILE"
_FILE: Final = "approvals.json"
_MAX_REMEMBERED: Final = 10_000
_VERIFIED: Final = TypeAdapter(dict[str, Annotated[int, Field(ge=0)]])
_OUTLIVING: Final = frozenset({"rollback", "health"})
"""Jobs that may bring back, and look at, what was approved in its time."""
_NAMED: Final = ("HYBRIDCI_SERVICE", "HYBRIDCI_VERSION", "HYBRIDCI_ENVIRONMENT")
_OWN: Final = ("HYBRIDCI_COMMIT", "HYBRIDCI_REPO", "HYBRIDCI_WORKSPACE")
"""What the agent says of the checkout: a job that says it instead would have another commit deployed."""
_Text = Annotated[str, StringConstraints(min_length=1)]

logger = logging.getLogger(__name__)


class ApprovalMissing(Exception):
    """This agent does not run the job without more signatures; the message says which are missing and why."""


class ApproverKey(Frozen):
    """An approver's public key (Ed25519, base64)."""

    name: _Text
    key: PublicKey

    @property
    def id(self) -> str:
        """As a signature names it."""
        return key_id(Base64Encoder.decode(self.key.encode()))


class ApprovalRule(Frozen):
    """Who has to sign for a service in an environment."""

    service: _Text
    environment: _Text
    repository: _Text
    required: int = Field(default=1, ge=1)
    keys: list[ApproverKey] = Field(min_length=1)
    commands: list[_Text] | None = None
    variables: list[_Text] = Field(default_factory=list[str])

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        for what in ("name", "key"):
            if len({getattr(key, what) for key in self.keys}) < len(self.keys):
                raise ValueError(f"keys: the same {what} is there twice")
        if self.required > len(self.keys):
            raise ValueError(f"required: {self.required} of {len(self.keys)} keys cannot sign")
        return self


def load_approvals(settings: AgentSettings) -> "ApprovalRules | None":
    """The agent's rules; None when it runs whatever its pool is given. Raises SettingsError."""
    file = settings.approvers_file
    return None if file is None else ApprovalRules.load(file, settings.directory)


class ApprovalRules:
    """All rules of one agent, and the signatures that it has verified in their time. Safe for many threads."""

    def __init__(self, rules: list[ApprovalRule], state: Path, verified: dict[str, int]) -> None:
        self._rules, self._state, self._verified = rules, state, verified
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: Path, state_dir: Path) -> Self:
        """Raises SettingsError. What was verified stays in ``state_dir``; without it, rollbacks need new signatures."""
        rules = read_yaml(path, SETTING, TypeAdapter(list[ApprovalRule]))
        state = state_dir / _FILE
        remove_torn(state)
        verified: dict[str, int] = {}
        try:
            verified = _VERIFIED.validate_json(state.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, ValidationError) as error:
            why = str(error).splitlines()[0]
            logger.warning("%s cannot be read (%s): rollbacks need signatures that have not expired", state, why)
        return cls(rules, state, verified)

    def check(self, attempt: AttemptInput, now_ms: int) -> None:
        """Return when this agent may run it. Blocking: what is verified is kept. Raises ApprovalMissing, OSError."""
        service, version, environment = _identity(attempt)
        rules = [
            rule
            for rule in self._rules
            if (rule.service, rule.environment) == (service, environment)
            and fnmatchcase(attempt.git_repo, rule.repository)
        ]
        if not rules:
            raise ApprovalMissing(
                f"This agent runs only what is approved, and its approvers ({SETTING}) have no rule for {service} in "
                f"{environment} from this repository: add one on the agent's host, or run the job in another pool."
            )
        if attempt.inputs:
            raise ApprovalMissing(
                "The job begins with files of other jobs (`inputs`), which would take the place of what was approved: "
                "a signature holds a commit. Run it in another pool."
            )
        fresh: set[str] = set()
        for rule in rules:
            _require_commands(rule, attempt)
            fresh |= self._require_signatures(rule, attempt, (service, version, environment), now_ms)
        self._remember(fresh, now_ms)

    def _require_signatures(
        self, rule: ApprovalRule, attempt: AttemptInput, identity: tuple[str, str, str], now_ms: int
    ) -> set[str]:
        """The digests of those that count and have not expired."""
        keys = {key.id: key for key in rule.keys}
        signers: set[str] = set()
        fresh: set[str] = set()
        problems: list[str] = []
        for approval in attempt.approvals:
            key = keys.get(approval.key_id)
            why = self._refusal(key, approval, attempt, identity, now_ms)
            if key is not None and why is None:
                signers.add(key.name)
                if approval.expires_at > now_ms:
                    fresh.add(_digest(approval))
            else:
                problems.append(f"that of {key.name if key else approval.key_id} {why}")
        if len(signers) >= rule.required:
            return fresh
        service, version, environment = identity
        missing = ", ".join(key.name for key in rule.keys if key.name not in signers)
        told = f" Not counted: {'; '.join(problems)}." if problems else ""
        raise ApprovalMissing(
            f"{len(signers)} of {rule.required} signatures for {service} {version} in {environment} are there that "
            f"this agent accepts; {rule.required - len(signers)} of {missing} must sign: "
            f"`hybridci deploy approve {service}@{version} --sign-with FILE`.{told}"
        )

    def _refusal(
        self,
        key: ApproverKey | None,
        approval: SignedApproval,
        attempt: AttemptInput,
        identity: tuple[str, str, str],
        now_ms: int,
    ) -> str | None:
        """Why a signature does not count, or None."""
        if key is None:
            return "is of a key that is not listed"
        if (approval.service, approval.version, approval.environment) != identity:
            return f"is for {approval.service} {approval.version} in {approval.environment}"
        if approval.git_commit_sha != attempt.git_commit_sha:
            return f"is for the commit {approval.git_commit_sha[:12]}, not {attempt.git_commit_sha[:12]}"
        try:
            raw = Base64Encoder.decode(approval.signature.encode())
            VerifyKey(key.key.encode(), Base64Encoder).verify(approval.signed_bytes(), raw)
        except (CryptoError, ValueError):
            return "is not that of this approval: it was forged or changed"
        if approval.expires_at <= now_ms:
            known = _digest(approval) in self._verified
            if attempt.job_type not in _OUTLIVING or not known:
                unknown = " and this agent has not seen it before" if attempt.job_type in _OUTLIVING else ""
                return f"expired at {_time(approval.expires_at)}{unknown}"
        return None

    def _remember(self, digests: set[str], now_ms: int) -> None:
        with self._lock:
            if digests <= self._verified.keys():
                return
            known = {**self._verified, **{digest: now_ms for digest in digests}}
            kept = dict(sorted(known.items(), key=lambda item: item[1])[-_MAX_REMEMBERED:])
            replace_file(self._state, _VERIFIED.dump_json(kept))
            self._verified = kept


def _identity(attempt: AttemptInput) -> tuple[str, str, str]:
    """Service, version and environment, as every step of the job would find them. Raises ApprovalMissing."""
    environments: list[Mapping[str, str]] = [attempt.env, *({**attempt.env, **step.env} for step in attempt.steps)]
    found = {tuple(env.get(name, "") for name in _NAMED) for env in environments}
    service, version, environment = found.pop()
    if found or not (service and version and environment):
        raise ApprovalMissing(
            "This agent runs only jobs of approved deployments: the job must say one and the same "
            f"{', '.join(_NAMED)} in `env` to all its steps. Run other jobs in another pool."
        )
    for env in environments:
        if own := [name for name in _OWN if name in env]:
            raise ApprovalMissing(f"The job sets {', '.join(own)} itself, which on this agent only the agent may.")
    return service, version, environment


def _require_commands(rule: ApprovalRule, attempt: AttemptInput) -> None:
    if rule.commands is None:
        return
    for step in attempt.steps:
        if step.run.strip() not in rule.commands or step.shell is not None:
            raise ApprovalMissing(
                f"Step {step.name!r} runs a command that this agent's approvers ({SETTING}) do not list for "
                f"{rule.service} in {rule.environment}: add it to `commands` there, or correct the step."
            )
        _require_variables(rule, attempt, step)


def _require_variables(rule: ApprovalRule, attempt: AttemptInput, step: Step) -> None:
    names = attempt.env.keys() | step.env.keys()
    strange = sorted(name for name in names if not name.startswith("HYBRIDCI_") and name not in rule.variables)
    if strange:
        raise ApprovalMissing(
            f"The job sets {', '.join(strange)}, which this agent's approvers ({SETTING}) do not list for "
            f"{rule.service} in {rule.environment}: add them to `variables` there, or leave them out."
        )


def _digest(approval: SignedApproval) -> str:
    return hashlib.sha256(f"{approval.key_id}\n{approval.signature}\n".encode() + approval.signed_bytes()).hexdigest()


def _time(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"
