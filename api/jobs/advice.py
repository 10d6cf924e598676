"""What a person can do about each cause of a job's end, in a sentence. Deliberately not here: commands and forms."""

from collections.abc import Mapping
from typing import Final

ADVICE: Final[Mapping[str, str]] = {
    "agent_error": "The agent could not run it, by no fault of the job: see its message and the agent's own log.",
    "agent_lost": "The agent stopped answering, so nobody knows how far it came: look before you run it again.",
    "artifact_contains_secret": "A file holds a secret, so it was not stored: take the secret out of it.",
    "artifact_upload": "The artifacts could not be stored: see the API's log.",
    "artifacts_missing": "No file is like its artifacts' patterns: correct them, or say `if_none: warn`.",
    "commit_not_on_ref": "The commit is not on the branch that it has to be on: push it there, or deploy one that is.",
    "exit_code": "A command said that it failed: the last lines of its log tell why.",
    "inputs_missing": "The files of another job that it begins with are not there: correct `inputs`, or run it.",
    "inputs_unreachable": "The agent could not fetch the files of another job: look at the API.",
    "job_timeout": "The attempt ran too long: raise timeout_seconds (`dlq edit --timeout`) or make it faster.",
    "ref_gone": "The branch or tag is gone: name a commit or a branch that is there.",
    "repository_archived": "The repository's host hands it out no more: restore it there, or name another.",
    "repository_auth": "The repository refused the agent: give the agent's user credentials for it.",
    "repository_certificate": "The agent does not trust the server: set GIT_SSL_CAINFO in the agent's environment.",
    "repository_moved": "The repository has moved: set git_repo to its new address.",
    "repository_proxy": "The agent's proxy refused: HTTPS_PROXY and NO_PROXY of the agent's environment.",
    "repository_unreachable": "The agent could not reach the repository: check its URL and the agent's network.",
    "secret_unavailable": "A secret could not be resolved: make it known to the agent.",
    "signal": "A command was killed, often because memory ran out: give it more, or another pool.",
    "step_timeout": "A step ran too long: raise its timeout_seconds or make it faster.",
    "unknown_commit": "The repository does not have this commit: push it, then submit again.",
}
"""By the cause that an attempt's result names."""
