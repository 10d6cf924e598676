"""docker-compose.yml and the Dockerfile against the compose schema and against the code.

No container engine runs here: every command, port, path and variable in the files is compared with what the code knows.
"""

import fnmatch
import json
import re
import shutil
import ssl
import stat
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml
from fastapi.routing import APIRoute
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from activities.evidence.keys import SealKey
from activities.retention.settings import RetentionSettings
from activities.settings import ApprovalSettings, WorkerSettings
from activities.stores.settings import StoreSettings
from agent.settings import AgentSettings
from api.cli.main import app
from api.cli.stack import embedded
from api.gateway import settings as gateway_settings
from api.settings import ApiSettings
from api.system.routes import health as core
from workflows.contracts import search_attributes
from workflows.monitoring.address import read_address

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, tuple[type[BaseSettings], ...]] = {
    "api": (ApiSettings, StoreSettings),
    "worker": (WorkerSettings, StoreSettings, ApprovalSettings, RetentionSettings),
    "agent": (AgentSettings,),
}
PROCESSES = [*SETTINGS, "gateway"]
ECOSYSTEM = {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"}
AWS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
IMAGES: dict[str, set[str]] = {
    "postgresql": {"POSTGRES_USER", "POSTGRES_PASSWORD"},
    "temporal-schema": {"SQL_PASSWORD"},
    "temporal": {
        "DB", "DB_PORT", "POSTGRES_SEEDS", "POSTGRES_USER", "POSTGRES_PWD", "BIND_ON_IP", "TEMPORAL_ALLOW_NO_AUTH",
        "DYNAMIC_CONFIG_FILE_PATH",
    },
    "temporal-namespace": ECOSYSTEM,
    "temporal-ui": {"TEMPORAL_ADDRESS"},
    "dynamodb": set(),
    "s3": {"ROOT_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY", "VGW_PORT", "VGW_HEALTH"},
}  # fmt: skip
"""What each image reads, from its own documentation."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def dockerfile() -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_file_conforms_to_the_compose_schema(compose: dict[str, Any]) -> None:
    schemas = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema: Any = json.loads((schemas / "compose-spec.json").read_text(encoding="utf-8"))
    validator: Any = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(compose)] == []
    assert not validator.is_valid({"services": {"x": {"imagine": 1}}})


@pytest.mark.parametrize("name", PROCESSES)
def test_each_process_is_started_by_its_own_subcommand(compose: dict[str, Any], name: str) -> None:
    command: list[str] = compose["services"][name]["command"]
    group: Any = typer.main.get_command(app)
    subcommand: Any = group.commands[command[0]]
    assert command[0] == name
    context = subcommand.make_context(name, command[1:])
    assert context.args == []


@pytest.mark.parametrize("name", PROCESSES)
def test_each_variable_of_a_process_is_one_it_reads(compose: dict[str, Any], name: str) -> None:
    environment = set(compose["services"][name]["environment"])
    known = ECOSYSTEM.union(*(variables(settings) for settings in SETTINGS.get(name, ())))
    if name in {"api", "worker"}:
        known |= AWS
    if name == "gateway":
        known |= {*gateway_settings.VARIABLES, "MALLOC_ARENA_MAX"}
    assert environment <= known


def test_each_variable_of_an_image_is_one_it_reads(compose: dict[str, Any]) -> None:
    others = {name: service for name, service in compose["services"].items() if name not in PROCESSES}
    assert {name: set(service.get("environment", {})) for name, service in others.items()} == IMAGES


def test_the_agent_gets_neither_aws_credentials_nor_the_admin_key(compose: dict[str, Any]) -> None:
    agent = compose["services"]["agent"]
    assert not [name for name in agent["environment"] if name.startswith(("AWS_", "S3_", "DYNAMODB_"))]
    assert agent["secrets"] == ["agent-key"]


def test_secrets_are_declared_given_and_read_from_where_they_are_mounted(compose: dict[str, Any]) -> None:
    for name in PROCESSES:
        service = compose["services"][name]
        mounted = {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}
        read = {value for key, value in service["environment"].items() if key.endswith("_FILE")}
        assert read == mounted
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
    header = (ROOT / "docker-compose.yml").read_text().split("name: hybridci")[0]
    needed = {secret["environment"] for secret in compose["secrets"].values()}
    needed |= set(re.findall(r"\$\{(\w+):\?", yaml.safe_dump(compose)))
    assert needed <= set(re.findall(r"[A-Z][A-Z_]+", header)), "the comment at the top makes every secret there is"
    for service in compose["services"].values():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|PWD|SECRET|_KEY", key):
                assert value.startswith(("${", "/run/secrets/")), f"{key} has a default value in the file"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_commands_at_the_top_make_secrets_that_processes_take(compose: dict[str, Any], tmp_path: Path) -> None:
    header = (ROOT / "docker-compose.yml").read_text().split("docker compose up")[0]
    script = re.sub(r"(?m)^# ?", "", header[header.index("#   (umask") :])
    script += "\nset -a; . ./.env; env -0"
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True, capture_output=True, text=True)
    made = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    assert {secret["environment"] for secret in compose["secrets"].values()} <= set(made)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    signing = ApiSettings.model_validate({"signing_key": made["HYBRIDCI_SIGNING_KEY"]}).signing_secret()
    assert signing is not None
    (tmp_path / "seal.key").write_text(made["HYBRIDCI_SEAL_KEY"])
    assert SealKey.load(tmp_path / "seal.key") is not None
    files = {"HYBRIDCI_GATEWAY_TLS_KEY_FILE": "key.pem", "HYBRIDCI_GATEWAY_TLS_CERT_FILE": "cert.pem"}
    for variable, name in files.items():
        (tmp_path / name).write_text(made[variable.removesuffix("_FILE")])
    paths = {variable: str(tmp_path / name) for variable, name in files.items()}
    gateway_settings.GatewaySettings.from_environment(paths | {"HYBRIDCI_GATEWAY_KEY": made["HYBRIDCI_GATEWAY_KEY"]})
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")


def test_ports_agree_with_the_settings_and_between_services(compose: dict[str, Any], dockerfile: list[str]) -> None:
    services = compose["services"]
    port = str(ApiSettings.model_fields["port"].default)
    assert services["api"]["environment"]["HYBRIDCI_PORT"] == port
    assert services["api"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"EXPOSE {port}" in dockerfile
    assert {services[name]["environment"]["HYBRIDCI_URL"] for name in ("agent", "gateway")} == {f"http://api:{port}"}
    plain = {"HYBRIDCI_GATEWAY_KEY": "k" * 32, "HYBRIDCI_GATEWAY_TLS": "off"}
    gateway = gateway_settings.GatewaySettings.from_environment(plain).port
    assert services["gateway"]["environment"]["HYBRIDCI_GATEWAY_PORT"] == str(gateway)
    assert services["gateway"]["ports"] == [f"127.0.0.1:{gateway}:{gateway}"]
    assert services["api"]["environment"]["HYBRIDCI_GATEWAY_PUBLIC_ADDRESS"].endswith(f":{gateway}}}")
    for service in services.values():
        for published in service.get("ports", []):
            assert published.startswith("127.0.0.1:"), "nothing is published to the network by default"
    listening = {"temporal": "7233", "dynamodb": "8000", "s3": services["s3"]["environment"]["VGW_PORT"].lstrip(":")}
    for name in PROCESSES:
        for key, value in services[name]["environment"].items():
            if found := re.fullmatch(r"(?:http://)?(temporal|dynamodb|s3):(\d+)", value):
                assert found[2] == listening[found[1]], key


def test_health_checks_ask_for_routes_and_ports_that_exist(compose: dict[str, Any], dockerfile: list[str]) -> None:
    paths = {route.path for route in core.public.routes if isinstance(route, APIRoute)}
    port = ApiSettings.model_fields["port"].default
    checks = [" ".join(compose["services"]["api"]["healthcheck"]["test"])]
    checks += [line for line in dockerfile if line.startswith("HEALTHCHECK")]
    for check in checks:
        found = re.search(r"http://127\.0\.0\.1:(\d+)(/[\w/]*)", check)
        assert found is not None
        assert int(found[1]) == port
        assert found[2] in paths
    for name in ("worker", "agent", "gateway"):
        service = compose["services"][name]
        place = read_address(service["environment"][f"HYBRIDCI_{name.upper()}_METRICS_ADDRESS"])
        assert f"http://127.0.0.1:{place.port}/health/ready" in service["healthcheck"]["test"][-1]


def test_every_long_running_service_is_checked_and_started_in_order(compose: dict[str, Any]) -> None:
    services = compose["services"]
    once = {"temporal-schema", "temporal-namespace"}
    unchecked = {name for name, service in services.items() if "healthcheck" not in service}
    assert unchecked == once | {"temporal-ui"}
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if needed in once else "service_healthy"
            assert how["condition"] == expected


def test_images_are_pinned_and_volumes_and_configs_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert re.search(r":v?\d+\.\d+", service["image"]), service["image"]
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"]
        for config in service.get("configs", []):
            assert config["source"] in compose["configs"]
    temporal = compose["services"]["temporal"]
    assert temporal["environment"]["DYNAMIC_CONFIG_FILE_PATH"] == temporal["configs"][0]["target"]
    directory = compose["services"]["agent"]["environment"]["HYBRIDCI_AGENT_DIR"]
    assert directory.startswith(compose["services"]["agent"]["volumes"][0].split(":")[1])


def test_temporal_is_set_up_as_the_embedded_one_is(compose: dict[str, Any]) -> None:
    content: dict[str, Any] = yaml.safe_load(compose["configs"]["temporal-dynamic-config"]["content"])
    values = {key: json.dumps(entries[0]["value"]) for key, entries in content.items()}
    assert values == embedded.DYNAMIC_CONFIG
    assert dict(search_attributes.NAMES) == embedded.SEARCH_ATTRIBUTES


def test_what_the_dockerfile_copies_exists_and_reaches_the_engine(dockerfile: list[str]) -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = [line.split()[1:-1] for line in dockerfile if line.startswith("COPY ") and "--from" not in line]
    sources = [source.removeprefix("./") for group in copied for source in group]
    assert {"workflows", "activities", "api", "agent", "requirements.lock"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists()
        assert not ignored(source, rules)
    for private in (".env", ".git", ".hybridci", ".venv", "tests", "api/.env.local"):
        assert ignored(private, rules), private


def test_the_image_is_reproducible_and_runs_without_root(dockerfile: list[str]) -> None:
    installs = [line for line in dockerfile if "pip install" in line]
    assert any("--require-hashes" in line for line in installs)
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    assert dockerfile.index("USER hybridci") < next(i for i, line in enumerate(dockerfile) if line.startswith("CMD"))
    assert 'ENTRYPOINT ["hybridci"]' in dockerfile
    assert re.search(r"--uid (\d+)", "\n".join(dockerfile))


def variables(settings: type[BaseSettings]) -> set[str]:
    """The environment variables a settings class reads."""
    names: set[str] = set()
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            names |= {choice for choice in alias.choices if isinstance(choice, str)}
        else:
            names.add(alias if isinstance(alias, str) else name.upper())
    return names


def ignored(path: str, rules: list[str]) -> bool:
    """Docker's rule: the last line that matches the path or a folder above it decides."""
    parts = path.split("/")
    above = ["/".join(parts[: index + 1]) for index in range(len(parts))]
    result = False
    for rule in rules:
        pattern = rule.lstrip("!")
        anywhere = pattern.removeprefix("**/")
        if any(
            fnmatch.fnmatch(each, pattern) or (anywhere != pattern and fnmatch.fnmatch(each.split("/")[-1], anywhere))
            for each in above
        ):
            result = not rule.startswith("!")
    return result
