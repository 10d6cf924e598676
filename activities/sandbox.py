"""How workflow code is kept from clocks, files and random numbers in the control worker, at a third of the usual cost.

The SDK's sandbox stays on. Two things are taken from it, which together were a third of the worker's CPU time:

- Our own modules are shared by all workflows, not loaded anew for each. The tests replay every path in the SDK's
  stricter default.
- The SDK enters the sandbox twice more for every payload, to ask which serialization context and which external storage
  belong to it. Our converter knows neither, so the answer is given outside.
"""

from collections.abc import Sequence
from typing import Final

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import Info

from activities.closing import as_it_says
from activities.quiet_tasks import QuietTasks

_NO_EXTERNAL_STORAGE: Final = StorageDriverStoreContext(target=None)


class LeanSandbox(WorkflowRunner):
    """The SDK's sandboxed runner, entered for activations only, and told things in order (``delivery``,
    ``quiet_tasks``), and understood when they close as cancelled (``closing``).

    For data converters without context or storage.

    ``strict``: each workflow loads our modules anew, as the SDK does it.
    """

    def __init__(self, *, strict: bool = False) -> None:
        restrictions = SandboxRestrictions.default
        if not strict:
            restrictions = restrictions.with_passthrough_modules("workflows")
        self._sandbox = SandboxedWorkflowRunner(restrictions=restrictions)

    def prepare_workflow(self, defn: object) -> None:
        """See WorkflowRunner."""
        self._sandbox.prepare_workflow(defn)  # pyright: ignore[reportArgumentType] - a private type of the SDK

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """See WorkflowRunner."""
        return _Instance(self._sandbox.create_instance(det))

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        """See WorkflowRunner."""
        self._sandbox.set_worker_level_failure_exception_types(types)


class _Instance(WorkflowInstance):
    def __init__(self, sandboxed: WorkflowInstance) -> None:
        self._sandboxed = sandboxed
        self._quiet_tasks = QuietTasks()

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return as_it_says(self._quiet_tasks.activate(self._sandboxed.activate, act))

    def get_serialization_context(self, command_info: object) -> None:
        return None

    def get_external_store_context(self, command_info: object) -> StorageDriverStoreContext:
        return _NO_EXTERNAL_STORAGE

    def get_info(self) -> Info:
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()
