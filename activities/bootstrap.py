"""The control worker's composition root: settings and a connection in, activities out. The only place that chooses
implementations.

Deliberately not here: connecting, running and stopping (``worker``).
"""

import os
from collections.abc import Mapping

from temporalio.client import Client

from activities.chains.job_creation import build_job_creation_chain
from activities.chains.job_writes import JobWriter
from activities.chains.middleware import ObserveChain
from activities.chains.readers import JobReader
from activities.clock import Clock, epoch_millis
from activities.job_workflows import TemporalJobWorkflows
from activities.jobs import JobActivities
from activities.reconcile import Reconciler
from activities.settings import WorkerSettings
from activities.stores.interfaces import JobStore
from workflows.client import Orchestrator


class NotConfiguredError(Exception):
    """The environment does not say where the records are. The message is for the person who started the process."""


def check_configured(settings: WorkerSettings, environment: Mapping[str, str] = os.environ) -> None:
    """Raises NotConfiguredError in development without any word on AWS: nobody means the real AWS by saying nothing."""
    silent = not any(name.startswith("AWS_") for name in environment)
    if settings.stores.environment == "development" and settings.stores.dynamodb_endpoint_url is None and silent:
        raise NotConfiguredError(
            "The worker does not know where to keep records: run `hybridci up`, which starts everything, or set "
            "DYNAMODB_ENDPOINT_URL (and S3_ENDPOINT_URL) to a running server, or AWS_REGION and credentials to use AWS."
        )


def build_activities(jobs: JobStore, client: Client, *, clock: Clock = epoch_millis) -> JobActivities:
    """All activities of the control queue over this store and this Temporal."""
    middleware = [ObserveChain()]
    reader = JobReader(jobs, clock=clock, middleware=middleware)
    writer = JobWriter(jobs, middleware)
    return JobActivities(
        creation=build_job_creation_chain(jobs, middleware, clock=clock),
        writer=writer,
        reader=reader,
        redrive_job=Orchestrator(client).redrive,
        reconciler=Reconciler(reader, writer, TemporalJobWorkflows(client), clock),
    )
