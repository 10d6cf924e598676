"""What the embedded stack consists of: its children, their command lines, their environment, their order.

Each child gets exactly the variables it needs. The agent runs other people's code, so it gets its own key only: no
AWS variables, not the admin's key. Deliberately not here: starting and watching (``supervisor``).
"""

import getpass
import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from api.cli.stack import probes
from api.cli.stack.certificates import Certificates
from api.cli.stack.child import Child, ChildSpec, Ready
from api.cli.stack.data_dir import DataDir
from api.cli.stack.embedded import aws_command, temporal_command
from api.cli.stack.front import Behind, Hidden
from api.cli.stack.leftovers import AGENT_PREFIX
from workflows.monitoring.address import MonitoringAddress, read_address

LOOPBACK: Final = "127.0.0.1"
"""Temporal, its UI and the AWS APIs have no authentication here: they never listen anywhere else."""
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised here, not listened on
_PUBLIC_ADDRESS: Final = "HYBRIDCI_GATEWAY_PUBLIC_ADDRESS"
_CODEC_KEYS: Final = "HYBRIDCI_CODEC_KEYS_FILE"
_SPEC_KEY: Final = "HYBRIDCI_SPEC_KEY_FILE"
_SEAL_KEY: Final = "HYBRIDCI_SEAL_KEY_FILE"
_SEAL_PUBLIC_KEYS: Final = "HYBRIDCI_SEAL_PUBLIC_KEYS_FILE"
_OF_SEALS: Final = ("HYBRIDCI_SEALS_FILE", "HYBRIDCI_SEALS_URL")
_SERVER_GRACE_SECONDS: Final = 10.0
_PRIVATE: Final = 0o077
_OF_THE_API: Final = (
    "HYBRIDCI_WEBHOOK_", "HYBRIDCI_ACCESS_POLICY", "HYBRIDCI_PUBLIC_URL", "HYBRIDCI_ALLOWED_HOSTS",
    "HYBRIDCI_RATE_LIMIT", "HYBRIDCI_BODY_", "HYBRIDCI_OPEN_BODIES", "HYBRIDCI_TRUSTED_PROXIES", "HYBRIDCI_DISK_FREE_",
)  # fmt: skip
_OF_THE_WORKER: Final = ("HYBRIDCI_WORKER_",)
AGENT_METRICS: Final = "HYBRIDCI_AGENT_METRICS_ADDRESS"
_OF_THE_GATEWAY: Final = ("HYBRIDCI_GATEWAY_METRICS_ADDRESS",)
_OF_THE_AGENTS: Final = (
    "HYBRIDCI_AGENT_", "HYBRIDCI_APPROVERS_FILE", "HYBRIDCI_CONTROL_KEYS_FILE", "HYBRIDCI_METRICS_DIR",
    "HYBRIDCI_POOL_KEYS_FILE", "HYBRIDCI_PROBES_FILE", "HYBRIDCI_SECRETS_FILE",
)  # fmt: skip
_OF_ONE_AGENT: Final = (
    "HYBRIDCI_AGENT_CAPACITY", "HYBRIDCI_AGENT_DIR", "HYBRIDCI_AGENT_ID", "HYBRIDCI_AGENT_KEY", "HYBRIDCI_AGENT_POOL",
)  # fmt: skip
"""The stack gives each agent its own; a key of agents is another stack's."""
_NOT_PASSED_ON: Final = ("AWS_", "TEMPORAL_", "HYBRIDCI_", "DYNAMODB_", "S3_")
"""Variables meant for another stack (a cloud account, another namespace) must not leak into this one."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where the parts listen and how much the agents do. ``drain_seconds``: for running jobs when the stack stops;
    ``scale_down_seconds``: how long fewer agents must do before one of them is let go; ``ports``: ``auto`` takes free
    ones for those that are taken, ``fixed`` refuses.
    """

    host: str = LOOPBACK
    api_port: int = 8000
    temporal_port: int = 7233
    ui_port: int = 8233
    aws_port: int = 5070
    gateway_port: int = 7243
    agents: int = 1
    agent_capacity: int = 4
    drain_seconds: float = 60.0
    scale_down_seconds: float = 60.0
    ports: str = "fixed"

    @property
    def reachable_host(self) -> str:
        """An address at which this machine reaches the API."""
        return _ANY_ADDRESS.get(self.host, self.host)

    @property
    def url(self) -> str:
        """The API's address for clients on this machine."""
        return f"http://{_address(self.reachable_host, self.api_port)}"

    @property
    def temporal_address(self) -> str:
        """Temporal's frontend."""
        return f"{LOOPBACK}:{self.temporal_port}"

    @property
    def gateway_address(self) -> str:
        """The gateway's address for agents elsewhere, unless HYBRIDCI_GATEWAY_PUBLIC_ADDRESS knows better."""
        return os.environ.get(_PUBLIC_ADDRESS) or _address(self._gateway_host, self.gateway_port)

    @property
    def gateway_names(self) -> Sequence[str]:
        """The names by which agents may reach the gateway: its certificate is for these."""
        public = self.gateway_address.rpartition(":")[0].strip("[]")
        return (public, self._gateway_host, self.reachable_host, "localhost", LOOPBACK, "::1")

    @property
    def _gateway_host(self) -> str:
        return socket.gethostname().lower() if self.host in _ANY_ADDRESS else self.host

    @property
    def temporal_ui(self) -> str:
        """Temporal's Web UI."""
        return f"http://{LOOPBACK}:{self.ui_port}"


def server_specs(options: Options, data: DataDir, behind: Behind) -> list[ChildSpec]:
    """Temporal and the AWS APIs; its Web UI and they listen where nobody looks. Raises EmbeddedServerMissing."""
    places = {"temporal": (LOOPBACK, options.temporal_port), "aws": (behind.aws.host, behind.aws.port)}
    commands = {
        "temporal": temporal_command(
            data_dir=data.root,
            host=LOOPBACK,
            port=options.temporal_port,
            ui=(behind.ui.host, behind.ui.port),
            codec=f"{options.url}/api/codec" if os.environ.get(_CODEC_KEYS) else None,
        ),
        "aws": aws_command(data_dir=data.root, host=behind.aws.host, port=behind.aws.port),
    }
    return [
        ChildSpec(name, command, _base(), partial(_accepts, place=places[name]), _SERVER_GRACE_SECONDS, _PRIVATE)
        for name, command in commands.items()
    ]


def process_specs(options: Options, data: DataDir, aws: Hidden | None = None) -> list[ChildSpec]:
    """API, control worker, gateway and agents. ``aws``: where the AWS APIs listen themselves; None: as others on this
    machine reach them.
    """
    store = _retention() | _aws(aws or Hidden(LOOPBACK, options.aws_port))
    api = {
        **store, **_temporal(options), **_ours(_OF_THE_API),
        "HYBRIDCI_HOST": options.host, "HYBRIDCI_PORT": str(options.api_port),
        "HYBRIDCI_ADMIN_KEY_FILE": str(data.admin_key), "HYBRIDCI_AGENT_KEY_FILE": str(data.agent_key),
        **_approvals(data), **_verifying(data), _PUBLIC_ADDRESS: options.gateway_address,
        "HYBRIDCI_GATEWAY_CA_FILE": str(Certificates(data.root).authority),
        "HYBRIDCI_TEMPORAL_UI_ORIGIN": options.temporal_ui, "HYBRIDCI_TEMPORAL_UI_URL": options.temporal_ui,
        "HYBRIDCI_DASHBOARD_URL": os.environ.get("HYBRIDCI_PUBLIC_URL") or options.url,
        "HYBRIDCI_ADMIN_OWNER": _local_person(),
        "HYBRIDCI_DISK_FOLDERS": f"{data.root},{tempfile.gettempdir()}", "HYBRIDCI_STORAGE_FOLDER": str(data.root),
    }  # fmt: skip
    worker = {
        **store, **_temporal(options), **_ours(_OF_THE_WORKER), **_signing(), **_sealing(data), **_approvals(data),
    }  # fmt: skip
    worker["HYBRIDCI_ALLOW_UNVERIFIED"] = "true"
    answers = partial(_answers, host=options.reachable_host, port=options.api_port)
    return [
        _process("api", "api", api, answers, _SERVER_GRACE_SECONDS, _PRIVATE),
        _process("worker", "worker", worker, _worker_ready, 15.0, _PRIVATE),
        _gateway(options, data),
        *(agent_spec(number, options, data) for number in range(1, options.agents + 1)),
    ]


def agent_name(number: int | str) -> str:
    """What the stack calls one of its agents."""
    return f"{AGENT_PREFIX}-{number}"


def stop_order(children: Iterable[str]) -> list[list[str]]:
    """Agents finish their jobs while all they report to is up; the servers go last."""
    agents = [name for name in children if name.startswith(agent_name(""))]
    return [agents, ["gateway"], ["api"], ["worker"], ["temporal", "aws"]]


def ports(options: Options) -> Sequence[tuple[str, int, str]]:
    """(address, port, option that changes it) of everything that listens."""
    return (
        (options.host, options.api_port, "--api-port"),
        (LOOPBACK, options.temporal_port, "--temporal-port"),
        (LOOPBACK, options.ui_port, "--ui-port"),
        (LOOPBACK, options.aws_port, "--aws-port"),
        (options.host, options.gateway_port, "--gateway-port"),
    )


def _gateway(options: Options, data: DataDir) -> ChildSpec:
    certificates = Certificates(data.root)
    env = {
        **_ours(_OF_THE_GATEWAY),
        **_temporal(options),
        "HYBRIDCI_URL": options.url,
        "HYBRIDCI_GATEWAY_HOST": options.host, "HYBRIDCI_GATEWAY_PORT": str(options.gateway_port),
        "HYBRIDCI_GATEWAY_KEY_FILE": str(data.gateway_key),
        "HYBRIDCI_GATEWAY_TLS_CERT_FILE": str(certificates.certificate),
        "HYBRIDCI_GATEWAY_TLS_KEY_FILE": str(certificates.key),
        "MALLOC_ARENA_MAX": "1",  # gRPC's threads would each keep memory of their own
    }  # fmt: skip
    return _process("gateway", "gateway", env, _gateway_ready, _SERVER_GRACE_SECONDS, _PRIVATE)


def agent_spec(number: int, options: Options, data: DataDir) -> ChildSpec:
    """An agent of pool `default`."""
    env = {
        **_ours(_OF_THE_AGENTS, but=_OF_ONE_AGENT),
        **_temporal(options),
        "HYBRIDCI_URL": options.url,
        "HYBRIDCI_API_KEY_FILE": str(data.agent_key),
        "HYBRIDCI_AGENT_DIR": str(data.agent(number)),
        "HYBRIDCI_AGENT_CAPACITY": str(options.agent_capacity),
        **_listening(number),
    }
    # The user's own umask: the files that jobs build are as they would be in their shell.
    return _process(agent_name(number), "agent", env, _agent_ready, options.drain_seconds, None)


def _listening(number: int) -> dict[str, str]:
    """Agents of one machine listen at one port each: the first at the one that is said, the others behind it."""
    said = os.environ.get(AGENT_METRICS, "").strip()
    try:
        host, port = read_address(said)
    except ValueError:  # the agent says what is wrong with it
        return {}
    return {AGENT_METRICS: MonitoringAddress(host, port + number - 1).written}


def _process(
    name: str, command: str, env: Mapping[str, str], ready: Ready, grace: float, umask: int | None
) -> ChildSpec:
    # -P: the folder `up` was called in is not on the import path; a user's own `api` package would shadow ours.
    line = [sys.executable, "-P", "-m", "api.cli.processes", command]
    return ChildSpec(name, line, {**_base(), **env}, ready, grace, umask)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _base() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    # Readiness is seen in the log, so it is never quieter than this; the logs are files.
    env["LOG_LEVEL"] = "DEBUG" if env.get("LOG_LEVEL", "").upper() == "DEBUG" else "INFO"
    env["ENVIRONMENT"] = "development"
    # A proxy of the user's network must not be asked for what listens on this machine.
    return env | _without_proxy()


def _without_proxy(*hosts: str) -> dict[str, str]:
    here = (LOOPBACK, "localhost", "::1", *hosts)
    return {name: ",".join(filter(None, (os.environ.get(name, ""), *here))) for name in ("NO_PROXY", "no_proxy")}


def _ours(names: tuple[str, ...], *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """What the user's environment says of one kind of process, whatever stack it is part of; no other kind gets it."""
    return {name: value for name, value in os.environ.items() if name.startswith(names) and not name.startswith(but)}


def _signing() -> dict[str, str]:
    """The key that signs what deployments run is the worker's alone."""
    return {_SPEC_KEY: os.environ[_SPEC_KEY]} if os.environ.get(_SPEC_KEY) else {}


def _retention() -> dict[str, str]:
    """How long what has ended is kept."""
    return _ours(("HYBRIDCI_KEEP_",))


def _sealing(data: DataDir) -> dict[str, str]:
    """The user's own key and places, or those of the data directory."""
    own = {name: value for name in _OF_SEALS if (value := os.environ.get(name))}
    return {"HYBRIDCI_SEALS_FILE": str(data.seals), **own, _SEAL_KEY: os.environ.get(_SEAL_KEY) or str(data.seal_key)}


def _verifying(data: DataDir) -> dict[str, str]:
    """With which public keys seals are verified; with the user's own private key, only the user knows them."""
    own = os.environ.get(_SEAL_PUBLIC_KEYS)
    if own or os.environ.get(_SEAL_KEY):
        return {_SEAL_PUBLIC_KEYS: own} if own else {}
    return {_SEAL_PUBLIC_KEYS: str(data.seal_public_keys)}


def _approvals(data: DataDir) -> dict[str, str]:
    """One human is alone on their own machine, with every key and Temporal too: that is allowed, and said each time."""
    return {"HYBRIDCI_SIGNING_KEY_FILE": str(data.signing_key), "HYBRIDCI_ALLOW_SELF_APPROVAL": "true"}


def _local_person() -> str:
    """Whose the admin key is: whoever runs the stack."""
    try:
        return f"local:{getpass.getuser()}"
    except (KeyError, OSError):  # this user id has no name, as in some containers
        return f"local:{os.getuid()}"


def _temporal(options: Options) -> dict[str, str]:
    # No profile file: the user's own may carry TLS settings or an API key of another Temporal.
    return {
        "TEMPORAL_ADDRESS": options.temporal_address,
        "TEMPORAL_NAMESPACE": "default",
        "TEMPORAL_CONFIG_FILE": os.devnull,
        **({_CODEC_KEYS: os.environ[_CODEC_KEYS]} if os.environ.get(_CODEC_KEYS) else {}),
    }


def _aws(place: Hidden) -> dict[str, str]:
    endpoint = f"http://{place.host}:{place.port}"
    return {
        **_without_proxy(place.host),
        "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "DYNAMODB_ENDPOINT_URL": endpoint, "S3_ENDPOINT_URL": endpoint,
    }  # fmt: skip


async def _accepts(_child: Child, *, place: tuple[str, int]) -> bool:
    return await probes.accepts(*place)


async def _answers(_child: Child, *, host: str, port: int) -> bool:
    return await probes.answers_ok(host, port, "/health/ready")


async def _worker_ready(child: Child) -> bool:
    return child.printed("control worker ready")


async def _gateway_ready(child: Child) -> bool:
    return child.printed("gateway ready")


async def _agent_ready(child: Child) -> bool:
    return child.printed(" works for pool ")
