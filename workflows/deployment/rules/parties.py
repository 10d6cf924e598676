"""Who is behind a deployment, and whether whoever approves it is one of them. Pure.

Deliberately not here: what else an approval has to be (``approvals``).
"""

from collections.abc import Iterator

from workflows.contracts.deployments.deployment import MAX_GIT_PEOPLE, Deployment
from workflows.contracts.identity.people import Parties, Somebody, identity_as_said, same_person, shared_key_name


def parties_of(deployment: Deployment) -> Parties:
    """As the API knew them at the start; else what their names say."""
    if deployment.parties is not None:
        return deployment.parties
    return Parties(author=identity_as_said(deployment.git_author), starter=identity_as_said(deployment.created_by))


def own_work(deployment: Deployment, environment: str, by: str, who: Somebody, acts_for: str | None) -> str | None:
    """It is the author's or the committer's; also when an admin says that it is, or when nobody can tell any more."""
    if len(deployment.git_people) >= MAX_GIT_PEOPLE:
        return (
            f"Agents name {len(deployment.git_people)} different authors and committers of {deployment.version}, so"
            " nobody can tell who wrote it: look at the agents of its jobs, then start it again."
        )
    named = None if acts_for is None else identity_as_said(acts_for)
    for what, party in writers_of(deployment):
        if same_person(who, party) or (named is not None and same_person(named, party)):
            alike = named_alike(who, party)
            return f"{by} is the {what}: somebody else must approve it for {environment}.{alike}"
    return None


def writers_of(deployment: Deployment) -> Iterator[tuple[str, Somebody]]:
    """Who wrote and committed it, each with what they are: as it was known at the start, then as its commit says."""
    parties, version = parties_of(deployment), deployment.version
    yield f"author of {version}", parties.author
    if parties.committer is not None:
        yield f"committer of {version}", parties.committer
    for people in deployment.git_people:
        for what, person in (("author", people.author), ("committer", people.committer)):
            if (identity := person.identity) is not None:
                yield f"{what} of {version}, as its commit says ({person})", identity


def by_its_key(who: Somebody, starter: Somebody) -> str:
    """Said when it is not the starter itself, but a key in the starter's hands, or the other way round."""
    return "" if who.known_as & starter.known_as else " (one of the two made the key of the other)"


def named_alike(who: Somebody, other: Somebody) -> str:
    """Said when it may well be somebody else: nothing but the name of two keys speaks for one person."""
    name = shared_key_name(who, other)
    if name is None:
        return ""
    return (
        f" There are two keys with the name {name}, and keys of one name count as one person's. If they are two"
        " people's, list this key's id under its person in `people` of the access policy, or approve with a key of"
        " another name."
    )
