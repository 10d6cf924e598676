"""The commands as `hybridci --help` shows them: in groups, a line each, and the other words by which they are found.

Here and not in their modules, so that the page is drawn without loading them. A test holds that each command has its
line, and that it fits 80 columns.
"""

from collections.abc import Mapping
from typing import Final

PANELS: Final[Mapping[str, Mapping[str, str]]] = {
    "Start here": {
        "up": "Run everything on this machine; Ctrl-C stops it.",
        "demo": "Watch a service go from its first commit to a rollback.",
        "init": "Write a commented .hybridci.yml for this repository.",
        "schema": "JSON Schemas of the files that people write, for editors.",
        "login": "Sign in to an API elsewhere, and work with it from now on.",
        "logout": "Forget an API and its key.",
        "whoami": "Who you are here, with which rights, and for how long.",
        "context": "The APIs that you signed in to, and the one in use.",
        "status": "What waits for you, what broke, what runs.",
        "doctor": "Check every part, and say what to do about what is wrong.",
        "open": "Open the dashboard in a browser, signed in.",
    },
    "Jobs": {
        "job": "Submit jobs, watch them, stop them.",
        "logs": "Print or follow a job's log, as `job logs` does.",
        "dlq": "Dead letters: jobs whose tries are used up.",
        "queue": "The queue in numbers.",
    },
    "Deployments": {
        "service": "What is deployed, how, and through which environments.",
        "deploy": "Deploy versions, watch, approve, roll back.",
        "freeze": "Times in which nothing is rolled out; rollbacks go on.",
        "hold": "Holds of many services at once; rollbacks go on.",
        "approver": "Sign approvals that agents check themselves.",
        "control-key": "The key that signs what deployments run.",
    },
    "Agents": {
        "agents": "Who is there, how they are, and what they are told.",
        "pool": "What waits, who is there, how many there should be.",
        "ask": "Ask a pool's agents about commits, versions, metrics.",
        "seal": "Seal a value for the agents of a pool.",
        "pool-key": "Keys to which values for a pool's agents are sealed.",
    },
    "Access": {
        "key": "API keys: who may do what, without a browser.",
        "token": "Short-lived tokens for CI jobs and agents.",
        "webhook": "Webhooks of other tools: which there are, what they do.",
    },
    "Evidence": {
        "events": "What happened, newest first; with --follow what happens.",
        "audit": "Who did what, when, from where, in which role, why.",
    },
    "Operations": {
        "health": "Is all of it well? Is anything stuck?",
        "repair": "Let workflows go on that cannot, or end them.",
        "storage": "What takes how much, how long it is kept.",
        "codec": "Make payloads unreadable for whoever runs Temporal.",
        "bench": "Measure this machine on a stack of its own.",
    },
    "Processes, with settings from the environment": {
        "api": "Run the API alone.",
        "worker": "Run the control worker alone.",
        "agent": "Run one agent.",
        "gateway": "Run the gateway by which agents elsewhere reach Temporal.",
        "scaler": "Tell something else how many agents a pool should have.",
    },
}  # fmt: skip
"""Panel → command → its line. A command that is not here is shown last, with its own help."""

_JOB: Final[Mapping[str, Mapping[str, str]]] = {
    "Run": {
        "submit": "Submit a job: commands, in a fresh checkout of one commit.",
        "retry": "Run an ended job again; redrive a dead letter.",
        "cancel": "Stop jobs: interrupt, a grace, kill.",
    },
    "Look": {
        "list": "List jobs, newest first.",
        "show": "Where a job stands, its attempts, why it died, what next.",
        "logs": "Print or follow its log, or a part of it.",
        "search": "Find the lines of its log in which a text is.",
    },
    "Files": {
        "artifacts": "List the files that a job left behind.",
        "download": "Download one, all that a glob means, or all.",
    },
}
_DEPLOY: Final[Mapping[str, Mapping[str, str]]] = {
    "Roll out": {
        "start": "Start the deployment of one commit of a service.",
        "approve": "Say yes to a version in an environment.",
        "reject": "Say no: the deployment ends.",
        "promote": "Go on now, past the present pause or freeze.",
        "skip-step": "Leave the present pause of a rollout out.",
        "resume": "Go on where verification could not tell.",
    },
    "Look": {
        "list": "List deployments, newest first.",
        "show": "Where one stands, what it waits for, why it failed.",
        "watch": "Watch one until it is live or has ended.",
        "lanes": "What is live and on its way in each environment.",
        "events": "Who did what with a deployment, and why.",
        "approval": "Who may approve it, who has, what is missing.",
    },
    "Stop and take back": {
        "rollback": "Bring the version before back, at once.",
        "abort": "Stop a rollout and bring back what was live.",
        "cancel": "End a deployment.",
        "hold": "Let nothing be rolled out into an environment.",
        "release": "Lift a hold: what waits is rolled out.",
        "ban": "Let nothing bring a version or commit back.",
        "unban": "Lift every ban of a version or commit.",
        "bans": "List what is banned of a service.",
    },
    "Report": {
        "metrics": "Report a sample of metrics, or list the samples.",
        "record": "Record what another CI did.",
    },
}
_SERVICE: Final[Mapping[str, Mapping[str, str]]] = {
    "Define": {
        "apply": "Register a service, or change it.",
        "check": "Check a file and change nothing.",
    },
    "Look": {
        "list": "List services by name.",
        "show": "A service as YAML that `apply` takes, and what is live.",
    },
    "Policy": {
        "policy-change": "The change that waits for a second person.",
        "approve-policy": "Say yes to a change that somebody else has asked for.",
        "reject-policy": "Say no to a change, or take your own back.",
    },
    "End": {
        "retire": "Say that what is live in an environment is gone.",
        "archive": "Start nothing of it any more, and leave it out of lists.",
        "unarchive": "Take an archived service into use again.",
        "delete": "Delete an archived service; its trail stays.",
    },
}

PANELS_OF: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    "": PANELS,
    "job": _JOB,
    "deploy": _DEPLOY,
    "service": _SERVICE,
}
"""By group; the root's name is empty. Groups with few commands show them in one list."""

OTHER_PANEL: Final = "More"

WORDS: Final[Mapping[str, str]] = {
    "deployment": "deploy",
    "deployments": "deploy",
    "hook": "webhook",
    "hooks": "webhook",
    "dead-letter": "dlq",
    "dead-letters": "dlq",
    "deadletters": "dlq",
    "environment": "service",
    "environments": "service",
    "log": "logs",
    "signin": "login",
    "signout": "logout",
    "dashboard": "open",
    "ctx": "context",
    "user": "whoami",
}
"""Other words for a command, beside its other number (`jobs` is `job`)."""

SHORTCUTS: Final[Mapping[str, tuple[str, str]]] = {"logs": ("job", "logs")}
"""Commands at the top that are a command of a group."""


def line_of(group: str, name: str) -> tuple[str, str] | None:
    """Its panel and its line; None for one that has none."""
    panels = PANELS_OF.get(group, {})
    return next(((panel, lines[name]) for panel, lines in panels.items() if name in lines), None)


def in_order(group: str, names: list[str]) -> list[str]:
    """As the panels have them; what is in none comes last."""
    listed = [name for lines in PANELS_OF.get(group, {}).values() for name in lines if name in names]
    return [*listed, *(name for name in names if name not in listed)]
