"""The proof: jobs use, print, encode, fail with and upload secrets of every kind; the control plane has none of them.

Searched afterwards: every file of Temporal, of the AWS APIs (records, logs, artifacts) and of each process's output,
and the memory of every process of the stack. Only the agent, and the customer's own Secrets Manager and SSM, know.
"""

import secrets
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.agent.agent_process import AgentProcess
from tests.e2e.stack import run
from tests.faults.plant import Plant
from tests.faults.traces import encodings, in_files, in_memory
from tests.servers import HOST, aws_server
from workflows.contracts.statuses import JobStatus

POOL = "vault"
NAMES = ("FROM_ENV", "FROM_FILE", "FROM_AWS", "FROM_SSM", "FROM_COMMAND", "IN_MEMORY", "SEALED")
SPELL = """
import base64, json, os, shlex, sys, time, urllib.parse
names = "FROM_ENV FROM_FILE FROM_AWS FROM_SSM FROM_COMMAND SEALED".split()
values = [os.environ[name] for name in names] + [open(os.environ["IN_MEMORY"]).read()]
for value in values:
    raw = value.encode()
    print("begin", value, value[::1], "end")
    for form in (
        base64.b64encode(raw), base64.b64encode(b"x" + raw), base64.b64encode(b"xy" + raw), base64.b32encode(raw),
        base64.urlsafe_b64encode(raw), raw.hex().encode(), raw.hex().upper().encode(),
        urllib.parse.quote(value, safe="").encode(), urllib.parse.quote_plus(value).encode(),
        json.dumps(value).encode(), shlex.quote(value).encode(),
    ):
        print(form.decode())
    for character in value:  # across the pieces in which the log is sent
        sys.stdout.write(character)
        sys.stdout.flush()
        time.sleep(0.004)
    print(file=sys.stderr)
    print("error:", value, file=sys.stderr)
"""


@dataclass
class Customer:
    """What is on the customer's side: values, the agent that knows them, the stack that must not."""

    plant: Plant
    agent: AgentProcess
    values: dict[str, str]

    def submit(self, run: str, *, names: tuple[str, ...] = NAMES[:-1], **fields: Any) -> str:
        return self.plant.submit(run, pool=POOL, secrets=list(names), **fields)


def _values() -> dict[str, str]:
    """With characters that each encoding writes in its own way; one has several lines."""
    found = {name: f"{secrets.token_hex(8)}+/ &\"'{secrets.token_urlsafe(12)}é" for name in NAMES}
    found["FROM_FILE"] = "\n".join(secrets.token_urlsafe(18) for _ in range(3))
    return found


@pytest.fixture(scope="module")
def customer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    folder = tmp_path_factory.mktemp("control-plane")
    theirs = tmp_path_factory.mktemp("customer")
    plant = Plant(folder)
    plant.start("--agents", "0")
    values = _values()
    aws = aws_server(theirs)
    aws.start()
    try:
        keys = theirs / "pool.keys"
        made = run(["pool-key", "generate", "--out", str(keys)])
        assert made.returncode == 0, made.stderr
        knowledge: Any = _knowledge(theirs, aws.port, values, keys)
        agent = plant.agent("agent", POOL, **knowledge)
        shown = run(["pool-key", "show", "--file", str(keys)])
        pinned = run(["pool", "pin-keys", POOL, shown.stdout.split()[-1], "--data-dir", str(plant.stack.data)])
        assert pinned.returncode == 0, pinned.stderr
        yield Customer(plant, agent, values)
    finally:
        aws.kill()
        plant.close()


def _knowledge(theirs: Path, port: int, values: dict[str, str], keys: Path) -> dict[str, str]:
    endpoint = f"http://{HOST}:{port}"
    account = {"AWS_ACCESS_KEY_ID": "theirs", "AWS_SECRET_ACCESS_KEY": "theirs", "AWS_REGION": "eu-central-1"}
    session: Any = boto3.Session("theirs", "theirs", region_name="eu-central-1")  # pyright: ignore[reportUnknownMemberType]
    manager, ssm = (session.client(name, endpoint_url=endpoint) for name in ("secretsmanager", "ssm"))
    manager.create_secret(Name="shop/api", SecretString=values["FROM_AWS"])
    ssm.put_parameter(Name="/shop/license", Value=values["FROM_SSM"], Type="SecureString")
    for name in ("FROM_FILE", "FROM_COMMAND", "IN_MEMORY"):
        (theirs / name).write_text(values[name])
    (theirs / "secrets.yml").write_text(
        f"""
FROM_ENV: {{env: SHOP_SECRET}}
FROM_FILE: {{file: {theirs}/FROM_FILE}}
FROM_AWS: {{aws_secret: shop/api}}
FROM_SSM: {{ssm: /shop/license}}
FROM_COMMAND: {{command: [cat, {theirs}/FROM_COMMAND]}}
IN_MEMORY: {{file: {theirs}/IN_MEMORY, as: file}}
"""
    )
    return {
        **account, "AWS_DEFAULT_REGION": "eu-central-1", "AWS_ENDPOINT_URL": endpoint,
        "SHOP_SECRET": values["FROM_ENV"],
        "HYBRIDCI_SECRETS_FILE": str(theirs / "secrets.yml"), "HYBRIDCI_POOL_KEYS_FILE": str(keys),
    }  # fmt: skip


def _sealed(customer: Customer) -> str:
    """As a CI trigger does it: the value comes by stdin and leaves as a sealed box."""
    line = [
        *[sys.executable, "-P", "-m", "api.cli.main", "seal", "--pool", POOL, "--name", "SEALED"],
        *["--data-dir", str(customer.plant.stack.data)],
    ]
    done = subprocess.run(line, input=customer.values["SEALED"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_value_is_anywhere_in_the_control_plane(customer: Customer) -> None:
    plant, sealed = customer.plant, {"SEALED": _sealed(customer)}
    script = b64encode(SPELL.encode()).decode()
    printed = customer.submit(f"echo {script} | base64 -d > spell.py && python3 spell.py", env=sealed)
    broken = customer.submit(
        'echo "cannot log in with $FROM_ENV" >&2; "$FROM_SSM"', env=sealed, retry={"max_attempts": 1}
    )
    left = customer.submit(
        'printenv FROM_AWS | base64 > "report.txt"; echo fine > fine.txt', artifacts=["*.txt"],
        retry={"max_attempts": 1},
    )  # fmt: skip
    named = customer.submit('touch "$FROM_COMMAND.txt" 2>/dev/null || touch x.txt', artifacts=["*.txt"])
    jobs = plant.wait_ended([printed, broken, left, named])
    logs = {job.job_id: b"".join(plant.whole_log(job.job_id, each.number) for each in job.attempts) for job in jobs}

    assert jobs[0].status is JobStatus.SUCCESS, logs[printed].decode()
    assert logs[printed].count(b"***") >= 60
    assert jobs[1].status is JobStatus.DEAD_LETTERED
    assert (jobs[1].exit_code, b"cannot log in with ***" in logs[broken]) == (127, True)
    assert [each.cause for each in jobs[2].attempts] == ["artifact_contains_secret"]
    assert customer.agent.running.poll() is None

    forms = {form: name for name, value in customer.values.items() for form in _forms(name, value)}
    stack = plant.stack
    assert in_files([stack.data, stack.output], forms) == []
    assert all(not any(form in log for form in forms) for log in logs.values())
    shown = stack.cli("job", "show", broken).stdout + stack.cli("dlq", "list").stdout
    assert not any(form in shown.encode() for form in forms)
    searched = {name: in_memory(pid, forms) for name, pid in [*stack.children().items(), ("up", stack.pid)]}
    assert {name: hits for name, (_, hits) in searched.items() if hits} == {}
    assert {"api", "worker", "temporal", "aws", "gateway", "up"} <= set(searched)
    assert all(seen > 5_000_000 for seen, _ in searched.values()), searched


def test_the_search_finds_what_is_there(customer: Customer) -> None:
    """The agent and the customer's own files do hold the values: else the proof above would prove nothing."""
    forms = {form: name for name, value in customer.values.items() for form in _forms(name, value)}
    searched = customer.plant.folder / "searched"
    held = customer.submit(f'until [ -e {searched} ]; do sleep 0.1; done; test -n "$FROM_ENV"')
    customer.plant.wait_running(held)
    _, hits = in_memory(customer.agent.ps.pid, forms)
    searched.touch()
    assert "FROM_ENV" in hits
    customer.plant.wait_ended([held])
    folder = Path(customer.agent.ps.environ()["HYBRIDCI_SECRETS_FILE"]).parent
    assert any("FROM_COMMAND" in hit for hit in in_files([folder], forms))


def _forms(name: str, value: str) -> set[bytes]:
    """Each line of a value with several: a part of a key is a key lost."""
    return {form for line in value.splitlines() for form in encodings(line)}
