"""`hybridci deploy approve --sign-with`: signing what the API says is to be approved, and saying what that is.

Deliberately not here: the cryptography (``api.cli.keys.approval_signing``).
"""

from pathlib import Path
from typing import Any

from api.cli.client.connection import CliError
from api.cli.client.http import ApiClient
from api.cli.commands.deployments.approver import expiry
from api.cli.commands.deployments.view import title
from api.cli.output import note


def signed_approval(
    api: ApiClient, deployment_id: str, key_file: Path, *, lasts: str, environment: str | None, commit: str | None
) -> dict[str, Any]:
    """The field ``signed`` of an approval. ``commit``: what the approver knows to be right. Raises CliError.

    The control plane may be in wrong hands, which is what signatures are for: what is signed is always told.
    """
    from api.cli.keys.approval_signing import sign_approval
    from api.cli.keys.key_file import first_key

    deployment = api.deployment(deployment_id)
    where = environment or deployment.environment
    if where is None:
        raise CliError(f"{title(deployment)} waits in no environment yet: say for which you sign with --environment.")
    if commit is not None and deployment.git_commit_sha != commit:
        raise CliError(
            f"{title(deployment)} is commit {deployment.git_commit_sha}, not {commit}: nothing was signed. Find out "
            "who started it, or name the commit that you have checked."
        )
    expires_at = expiry(lasts, "--sign-for")
    key = first_key(key_file, "--sign-with")
    signed = sign_approval(
        key, deployment.service_name, deployment.version, deployment.git_commit_sha, where, expires_at
    )
    note(f"Signed for {lasts}: {title(deployment)} in {where}, commit {deployment.git_commit_sha}.")
    if commit is None:
        note("That is what the API says; with --commit you sign only what you have checked.")
    return signed.model_dump(mode="json")
