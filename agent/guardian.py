"""The agent's side of the guardian: a tiny process that ends the agent's jobs when the agent dies, even by kill -9."""


class Guardian:
    """Keeps one guardian process alive and tells it what to end when the agent is gone."""

    async def start(self) -> None:
        """Start the process."""
        raise NotImplementedError

    def register(self, cookie: str, group: int | None = None) -> None:
        """At the attempt's start with the cookie alone; for each process group once it is known. Never blocks."""
        raise NotImplementedError

    def unregister(self, cookie: str) -> None:
        """At the attempt's end: forget the cookie and all its groups."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the guardian process; what is still registered is ended by it first."""
        raise NotImplementedError
