"""How agents and pools look to people, and what to do next about them."""

from collections.abc import Sequence

from api.agents.schemas import AgentView
from api.cli.client.http import ApiClient
from api.cli.output import Column, age, clock, print_fields, print_table, say, span
from api.wording import counted
from workflows.contracts.agents import AgentStatus, PoolView, RequirementDemand


def print_agents(agents: Sequence[AgentView]) -> None:
    """A list of agents."""
    if not agents:
        say("No agents.")
        return
    columns = (
        Column("AGENT", key=True), Column("POOL", keep=True), Column("STATUS", keep=True),
        Column("BUSY", right=True, keep=True), Column("HEARD", right=True, rank=1), Column("HOST", rank=3),
        Column("VERSION", rank=4), Column("LABELS", rank=2), Column("WORDS"),
    )  # fmt: skip
    print_table(columns, [_agent_row(agent) for agent in agents])


def print_agent(agent: AgentView, api: ApiClient) -> None:
    """Everything about one agent."""
    print_fields(
        [
            ("Agent", agent.agent_id),
            ("Pool", agent.pool),
            ("Status", agent.status),
            ("State", "; ".join(agent.words) or ("takes jobs" if agent.accepting else "takes no jobs")),
            ("Busy", f"{agent.busy} of {agent.capacity}"),
            ("Jobs", ", ".join(agent.running) or None),
            ("Heard of", f"{span(agent.seconds_since_heard)} ago"),
            ("Host", agent.hostname or None),
            ("Region", agent.region or None),
            ("Version", agent.version or None),
            ("Works by", "HTTP" if agent.via == "http" else None),
            ("Labels", _labels(agent.labels) or None),
            ("Answers", ", ".join(agent.tasks) or None),
            ("CPU", _percent(agent.cpu_percent)),
            ("Memory", _percent(agent.memory_percent)),
            ("Disk", _percent(agent.disk_percent)),
            ("Load", agent.load),
            ("Paused until", clock(agent.paused_until) if agent.paused and agent.paused_until else None),
            ("Quarantined until", clock(agent.quarantined_until)),
            ("Registered", f"{clock(agent.registered_at)} by {agent.registered_by} ({age(agent.registered_at)})"),
            ("Deregistered", clock(agent.deregistered_at)),
        ]
    )
    say("\nNext")
    for line in _next_steps(agent, api):
        say(f"  {line}")


def print_pools(pools: Sequence[PoolView]) -> None:
    """A list of pools."""
    if not pools:
        say("No pools.")
        return
    columns = (
        Column("POOL", key=True), Column("WAITING", right=True, keep=True), Column("OLDEST", right=True, rank=3),
        Column("AGENTS", keep=True), Column("BUSY", right=True, keep=True), Column("FREE", right=True, keep=True),
        Column("DESIRED", right=True, keep=True), Column("BOUNDS", rank=1), Column("DEMANDS", rank=2),
    )  # fmt: skip
    print_table(columns, [_pool_row(pool) for pool in pools])


def print_pool(pool: PoolView, api: ApiClient) -> None:
    """Everything about one pool."""
    bounds = pool.bounds
    print_fields(
        [
            ("Pool", pool.name),
            ("Waiting", f"{pool.waiting}{_depth(pool)}"),
            ("Oldest wait", span(pool.oldest_wait_seconds)),
            ("Agents", _agents(pool)),
            ("Slots", f"{pool.slots}: {pool.busy} busy, {pool.free} free"),
            ("Desired", f"{counted(pool.desired_agents, 'agent')} ({counted(pool.desired_slots, 'slot')})"),
            ("Bounds", f"{_bounds(pool)}{'' if pool.bounded else ' (default)'}"),
            ("Wait target", span(bounds.target_wait_seconds)),
            ("Slots each", bounds.slots_per_agent),
        ]
    )
    if pool.demands:
        say()
        columns = (Column("DEMAND", keep=True), Column("WAITING", right=True), Column("AGENTS", right=True))
        print_table(columns, [(_demand(each), each.waiting, each.agents) for each in pool.demands])
    say("\nNext")
    say(f"  Its agents: `{api.command(f'agents list --pool {pool.name}')}`")
    say(f"  Set its bounds: `{api.command(f'pool scale {pool.name} --min 1 --max 4')}`")


def _agent_row(agent: AgentView) -> tuple[object, ...]:
    return (
        agent.agent_id, agent.pool, agent.status, f"{agent.busy}/{agent.capacity}",
        f"{span(agent.seconds_since_heard)} ago", agent.hostname or None, agent.version or None,
        _labels(agent.labels) or None, "; ".join(agent.words) or None,
    )  # fmt: skip


def _pool_row(pool: PoolView) -> tuple[object, ...]:
    unmet = [_demand(each) for each in pool.demands if each.waiting and not each.agents]
    return (
        pool.name, pool.waiting, span(pool.oldest_wait_seconds) if pool.waiting else None, _agents(pool), pool.busy,
        pool.free, pool.desired_agents, _bounds(pool) if pool.bounded else None,
        f"nobody has {'; '.join(unmet)}" if unmet else None,
    )  # fmt: skip


def _next_steps(agent: AgentView, api: ApiClient) -> list[str]:
    name = agent.agent_id
    if agent.deregistered_at is not None:
        return ["It is back when it registers again."]
    if agent.status is AgentStatus.OFFLINE:
        return [
            "Start it again on its host, or look at its log there.",
            f"Take it from the list: `{api.command(f'agents deregister {name}')}`",
        ]
    if agent.paused or agent.draining:
        return [f"Let it take jobs again: `{api.command(f'agents resume {name}')}`"]
    return [
        f"Its jobs: `{api.command(f'job list --agent {name}')}`",
        f"Let it take nothing new for a while: `{api.command(f'agents pause {name} --for 30m --note why')}`",
        f"Let it finish and end: `{api.command(f'agents drain {name}')}`",
    ]


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" if value else key for key, value in sorted(labels.items()))


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f} %"


def _agents(pool: PoolView) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(pool.agents.items())) or "none"


def _depth(pool: PoolView) -> str:
    found = [f"{count} {priority}" for priority, count in pool.depth.items() if count]
    return f" ({', '.join(found)})" if found else ""


def _bounds(pool: PoolView) -> str:
    return f"{pool.bounds.min_agents} to {pool.bounds.max_agents}"


def _demand(demand: RequirementDemand) -> str:
    return ", ".join(demand.requires)
