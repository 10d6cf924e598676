"""Ids of jobs that were seen to exist."""

from workflows.newest import Newest


class KnownJobs:
    """Ids of jobs that were seen to exist, so that each piece of a log does not cost a read. Records are never removed
    while anybody writes to them.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._ids: Newest[str, None] = Newest(capacity)

    def add(self, job_id: str) -> None:
        """Remember the id; the oldest is forgotten when there are too many."""
        self._ids[job_id] = None

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._ids
