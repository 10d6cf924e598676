"""The hooks of one attempt, and what they are told of it. When each runs: ``run`` and ``sequence``."""

from agent.attempt.files import Files
from agent.attempt.host import Host
from agent.attempt.leftovers import record_running
from agent.attempt.verdict import Verdict
from agent.git.errors import redact
from agent.hooks.running import Hooks
from agent.secrets.redact import Patterns
from agent.steps.environment import facts_of, sealed_names
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.reserved import RESERVED_VARIABLES


def hooks_of(host: Host, attempt: AttemptInput, files: Files, patterns: Patterns | None) -> Hooks:
    """``attempt`` as it came: hooks get nothing that was sealed, and of its ``env`` only what a deployment says."""
    directory, sealed = files.directory, sealed_names(attempt.env)
    told = {name: text for name, text in attempt.env.items() if name in RESERVED_VARIABLES - sealed}

    def started(group: int) -> None:
        host.guardian.register(directory.cookie, group)
        record_running(directory, group)

    return Hooks(
        host.hooks,
        facts={
            **facts_of(attempt, agent_id=host.agent_id, workspace=directory.workspace),
            **told,
            "HYBRIDCI_REPO": redact(attempt.git_repo),
            "HYBRIDCI_REQUIRES": ",".join(attempt.requires),
        },
        workspace=directory.workspace,
        cookie=directory.cookie,
        write=files.log.write,
        started=started,
        patterns=patterns,
    )


def how_it_ended(verdict: Verdict) -> dict[str, str]:
    """For the hook at the job's end."""
    return {
        "HYBRIDCI_OUTCOME": str(verdict.outcome),
        "HYBRIDCI_CAUSE": verdict.cause or "",
        "HYBRIDCI_EXIT_CODE": "" if verdict.exit_code is None else str(verdict.exit_code),
    }
