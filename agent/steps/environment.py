"""The environment of a step: clean and documented. Nothing of the agent's own (keys, TEMPORAL_*, AWS_*) gets in.

| variable | value |
|---|---|
| `CI` | `true` |
| `HYBRIDCI` | `true` |
| `HYBRIDCI_JOB_ID` | the job's id |
| `HYBRIDCI_ATTEMPT_NUMBER` | 1 for the first attempt |
| `HYBRIDCI_ATTEMPT` | `<job id>-<attempt number>`; marks the attempt's processes and cannot be overridden |
| `HYBRIDCI_JOB_TYPE` | the job's type, e.g. `test` |
| `HYBRIDCI_POOL` | the pool the job was queued in |
| `HYBRIDCI_AGENT_ID` | the agent that runs it |
| `HYBRIDCI_REPO` | the repository's URL |
| `HYBRIDCI_COMMIT` | the full commit id |
| `HYBRIDCI_REF` | the branch or tag, when the job names one |
| `HYBRIDCI_AUTHOR` | the commit's author, as the job names it |
| `HYBRIDCI_FENCE` | the number of the deployment's turn; hand it on, so that the target can refuse a lower one |
| `HYBRIDCI_FENCE_NAME` | whose turn it is: `<service>/<environment>` |
| `HYBRIDCI_ON_REF` | the branch on which the agent has found the commit, for a job that asked for it |
| `HYBRIDCI_WORKSPACE` | the folder with the checked out commit, where each step starts |
| `PATH` | the agent's own |
| `HOME` | a folder of the attempt, empty at its start |
| `TMPDIR` | a folder of the attempt, removed at its end |
| `USER`, `LOGNAME` | the agent's user, or HYBRIDCI_AGENT_JOB_USER |
| `SHELL`, `TERM`, `LANG` | `/bin/sh`, `dumb`, `C.UTF-8` |

The two of the fence are there for a job that has one, the branch for one that asks for it. On top come the job's `env`,
its secrets, and the step's own `env`, each winning over what is before it.
"""

import getpass
from collections.abc import Mapping
from pathlib import Path

from agent.steps.process import COOKIE, cookie_of
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.jobs import Step


def build_environment(
    attempt: AttemptInput,
    *,
    agent_id: str,
    workspace: Path,
    home: Path,
    temp: Path,
    path: str,
    secrets: Mapping[str, str] | None = None,
    user: str | None = None,
) -> dict[str, str]:
    """The variables of every step of the attempt: defaults, then the job's ``env``, then secrets. ``user``: as whom
    they run, None: as the agent.
    """
    cookie = cookie_of(attempt.job_id, attempt.attempt)
    user = user or _user()
    defaults = {
        "PATH": path, "HOME": str(home), "TMPDIR": str(temp), "USER": user, "LOGNAME": user,
        "SHELL": "/bin/sh", "TERM": "dumb", "LANG": "C.UTF-8",
        "CI": "true",
        "HYBRIDCI": "true",
        "HYBRIDCI_JOB_ID": attempt.job_id,
        "HYBRIDCI_ATTEMPT_NUMBER": str(attempt.attempt),
        "HYBRIDCI_JOB_TYPE": attempt.job_type,
        "HYBRIDCI_POOL": attempt.pool,
        "HYBRIDCI_AGENT_ID": agent_id,
        "HYBRIDCI_REPO": attempt.git_repo,
        "HYBRIDCI_COMMIT": attempt.git_commit_sha,
        "HYBRIDCI_AUTHOR": attempt.git_author,
        "HYBRIDCI_WORKSPACE": str(workspace),
    }  # fmt: skip
    if attempt.git_ref is not None:
        defaults["HYBRIDCI_REF"] = attempt.git_ref
    if attempt.on_ref is not None:  # an attempt whose commit is not there has no steps
        defaults["HYBRIDCI_ON_REF"] = attempt.on_ref
    if attempt.fence is not None:
        defaults["HYBRIDCI_FENCE"] = str(attempt.fence.number)
        defaults["HYBRIDCI_FENCE_NAME"] = attempt.fence.name
    return {**defaults, **attempt.env, **(secrets or {}), COOKIE: cookie}


def step_environment(base: Mapping[str, str], step: Step) -> dict[str, str]:
    """``base`` with the step's own ``env`` on top, the cookie excepted."""
    return {**base, **step.env, COOKIE: base[COOKIE]}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's numeric user without an entry in /etc/passwd
        return "agent"
