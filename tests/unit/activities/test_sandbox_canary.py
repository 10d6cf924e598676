"""What ``activities.sandbox`` relies on in the Temporal SDK, and whether it is still needed.

When one fails after an upgrade: the first two say what the SDK's runner or instance has got that ours must pass on, or
answer; the third that our data converter has learnt a context, so that ``_Instance`` must ask the sandbox again; the
last that the SDK answers outside by itself, and ``_Instance``'s two answers may go.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import temporalio.workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    StorageDriverStoreContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.worker import Replayer, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import Info

from activities import sandbox
from activities.sandbox import LeanSandbox
from workflows.job.workflow import JobWorkflow

HISTORY = Path(__file__).parents[2] / "replay" / "histories" / "job-success-1.json"


class Counting(WorkflowRunner):
    """A runner whose instances' methods are counted, with how often the sandbox was entered for them."""

    def __init__(self, inner: WorkflowRunner, entered: Counter[str]) -> None:
        self._inner, self.calls, self.entered = inner, Counter[str](), entered

    def prepare_workflow(self, defn: object) -> None:
        self._inner.prepare_workflow(defn)  # pyright: ignore[reportArgumentType] - a private type of the SDK

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return CountedInstance(self, self._inner.create_instance(det))

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        self._inner.set_worker_level_failure_exception_types(types)


class CountedInstance(WorkflowInstance):
    def __init__(self, runner: Counting, inner: WorkflowInstance) -> None:
        self._runner, self._inner = runner, inner

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return self._inner.activate(act)

    def get_serialization_context(self, command_info: object) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
        before = self._runner.entered.total()
        answer = self._inner.get_serialization_context(command_info)  # pyright: ignore[reportArgumentType]
        self._runner.calls["context"] += 1
        self._runner.calls["entered for a context"] += self._runner.entered.total() - before
        return answer

    def get_external_store_context(self, command_info: object) -> StorageDriverStoreContext:
        before = self._runner.entered.total()
        answer = self._inner.get_external_store_context(command_info)  # pyright: ignore[reportArgumentType]
        self._runner.calls["storage"] += 1
        self._runner.calls["entered for storage"] += self._runner.entered.total() - before
        return answer

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


def public(kind: type) -> set[str]:
    return {name for name, value in vars(kind).items() if callable(value) and not name.startswith("_")}


def test_the_runner_passes_on_all_that_the_sdk_asks_of_one() -> None:
    assert public(LeanSandbox) == public(WorkflowRunner)


def test_the_instance_answers_all_that_the_sdk_asks_of_one() -> None:
    instance: type = vars(sandbox)["_Instance"]
    assert public(instance) == public(WorkflowInstance)


def test_our_data_converter_has_neither_context_nor_storage() -> None:
    context = WorkflowSerializationContext(namespace="default", workflow_id="job-1")
    converter = pydantic_data_converter.payload_converter
    assert isinstance(converter, WithSerializationContext)
    assert converter.with_context(context) is converter
    assert not isinstance(pydantic_data_converter.failure_converter, WithSerializationContext)
    assert pydantic_data_converter.external_storage is None


async def test_the_sdk_enters_the_sandbox_for_what_we_answer_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    entered = Counter[str]()
    enter = vars(temporalio.workflow.unsafe)["_set_in_sandbox"].__func__

    def counted(value: bool) -> None:
        entered["times"] += value
        enter(value)

    monkeypatch.setattr(temporalio.workflow.unsafe, "_set_in_sandbox", counted)
    history = WorkflowHistory.from_json("replayed-canary", HISTORY.read_text())
    plain, ours = Counting(SandboxedWorkflowRunner(), entered), Counting(LeanSandbox(strict=True), entered)
    for runner in (plain, ours):
        replayer = Replayer(workflows=[JobWorkflow], data_converter=pydantic_data_converter, workflow_runner=runner)
        await replayer.replay_workflow(history)
    assert plain.calls["entered for a context"] == plain.calls["context"] > 0
    assert plain.calls["entered for storage"] == plain.calls["storage"] > 0
    assert ours.calls["context"] == plain.calls["context"]
    assert ours.calls["entered for a context"] == ours.calls["entered for storage"] == 0
