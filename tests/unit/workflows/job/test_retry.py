"""The retry rules, without Temporal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.contracts.jobs import Attempt, RetryPolicy
from workflows.contracts.statuses import JobStatus, Outcome
from workflows.job.retry import Action, decide


def tries(*outcomes: Outcome | int) -> list[Attempt]:
    return [
        Attempt(
            number=number,
            queued_at=0,
            outcome=Outcome.FAILED if isinstance(outcome, int) else outcome,
            exit_code=outcome if isinstance(outcome, int) and not isinstance(outcome, Outcome) else None,
        )
        for number, outcome in enumerate(outcomes, start=1)
    ]


def test_failing_commands_have_three_tries_with_doubling_pauses() -> None:
    policy = RetryPolicy()
    first, second, third = (decide(policy, tries(*[1] * count), retryable=True) for count in (1, 2, 3))
    assert [first.action, second.action, third.action] == [Action.RETRY, Action.RETRY, Action.PARK]
    assert [first.delay_seconds, second.delay_seconds] == [1, 2]
    assert third.status is JobStatus.FAILED


def test_what_is_used_up_is_counted_in_words() -> None:
    one, three = (decide(RetryPolicy(max_attempts=n), tries(*[3] * n), retryable=True).reason for n in (1, 3))
    assert one.endswith("The only attempt for failing commands is used up.")
    assert three.endswith("All 3 attempts for failing commands are used up.")


def test_lost_agents_have_a_budget_of_their_own_and_no_pause() -> None:
    policy = RetryPolicy(max_attempts=1)
    lost = [Outcome.AGENT_LOST] * 4
    decision = decide(policy, tries(*lost), retryable=True)
    assert (decision.action, decision.delay_seconds) == (Action.RETRY, 0)
    assert decide(policy, tries(*lost, Outcome.AGENT_LOST), retryable=True).action is Action.PARK
    assert decide(policy, tries(*lost, 1), retryable=True).action is Action.PARK


@pytest.mark.parametrize(
    ("outcome", "action", "status"),
    [
        (Outcome.SUCCEEDED, Action.FINISH, JobStatus.SUCCESS),
        (Outcome.CANCELLED, Action.FINISH, JobStatus.CANCELLED),
        (Outcome.TIMED_OUT, Action.PARK, JobStatus.TIMEOUT),
        (Outcome.CHECKOUT_FAILED, Action.RETRY, JobStatus.ERROR),
        (Outcome.AGENT_ERROR, Action.RETRY, JobStatus.ERROR),
    ],
)
def test_first_attempt(outcome: Outcome, action: Action, status: JobStatus) -> None:
    decision = decide(RetryPolicy(), tries(outcome), retryable=True)
    assert (decision.action, decision.status) == (action, status)


def test_exit_codes_can_be_final_or_the_only_retryable_ones() -> None:
    assert decide(RetryPolicy(final_exit_codes=[2]), tries(2), retryable=True).action is Action.FINISH
    only = RetryPolicy(retryable_exit_codes=[75])
    assert decide(only, tries(75), retryable=True).action is Action.RETRY
    assert decide(only, tries(1), retryable=True).action is Action.PARK


def test_what_cannot_help_is_not_tried_again() -> None:
    assert decide(RetryPolicy(), tries(Outcome.CHECKOUT_FAILED), retryable=False).action is Action.PARK
    assert decide(RetryPolicy(park=False), tries(Outcome.TIMED_OUT), retryable=True).action is Action.FINISH


@given(
    policy=st.builds(
        RetryPolicy,
        max_attempts=st.integers(1, 50),
        lost_agent_attempts=st.integers(1, 50),
        checkout_attempts=st.integers(1, 50),
        timeout_attempts=st.integers(1, 50),
        backoff=st.floats(1, 10),
        max_interval_seconds=st.floats(0, 86_400),
    ),
    outcomes=st.lists(
        st.sampled_from([Outcome.FAILED, Outcome.AGENT_LOST, Outcome.CHECKOUT_FAILED, Outcome.TIMED_OUT]), min_size=1
    ),
)
def test_never_more_tries_than_the_budgets_and_never_a_longer_pause(
    policy: RetryPolicy, outcomes: list[Outcome]
) -> None:
    decision = decide(policy, tries(*outcomes), retryable=True)
    budgets = {
        Outcome.FAILED: policy.max_attempts,
        Outcome.AGENT_LOST: policy.lost_agent_attempts,
        Outcome.CHECKOUT_FAILED: policy.checkout_attempts,
        Outcome.TIMED_OUT: policy.timeout_attempts,
    }
    last = outcomes[-1]
    assert (decision.action is Action.RETRY) == (outcomes.count(last) < budgets[last])
    assert 0 <= decision.delay_seconds <= policy.max_interval_seconds
