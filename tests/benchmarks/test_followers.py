"""The benchmark of followers counts what it says: every event at every follower."""

from tests.benchmarks.followers import measure


async def test_every_event_is_measured_at_every_follower() -> None:
    figures = await measure(followers=6, events=4, idle_seconds=0.2)
    assert (figures.events, len(figures.late_ms)) == (4, 24)
    assert all(late > -1000 for late in figures.late_ms)
    assert "late p50" in figures.words()
