"""A definition from a repository: read within bounds, and every error named with its path."""

import hashlib
import io
import json
import time

import pytest
from pydantic import ValidationError

from activities.services.definitions import MAX_DEFINITION_BYTES, load_definition, parse_definition
from activities.stores.memory.artifacts import MemoryArtifactStore
from workflows.contracts.deployments.services import DefinitionRequest, Environment, ServiceDefinition
from workflows.contracts.errors import ValidationFailed

GOOD = """
build: {steps: [{name: make, run: make}]}
environments:
  - &stage
    name: staging
    steps: [{name: go, run: ./deploy}]
    freeze_windows:
      - {name: weekend, cron: 0 22 * * FRI, duration_seconds: 201600, timezone: Europe/Berlin}
  - <<: *stage
    name: production
    approval: {required: 2}
"""


def refused(text: str | bytes) -> ValidationFailed:
    with pytest.raises(ValidationFailed) as caught:
        parse_definition(text.encode() if isinstance(text, str) else text, ".hybridci.yml")
    assert ".hybridci.yml" in caught.value.message
    assert "deploy that commit" in caught.value.message
    return caught.value


def environment(**fields: object) -> str:
    return json.dumps({"environments": [{"name": "staging", "external": True, **fields}]})


class TestParse:
    def test_yaml_with_anchors(self) -> None:
        definition = parse_definition(GOOD.encode(), "x")
        assert [each.name for each in definition.environments] == ["staging", "production"]
        production = definition.environments[1]
        assert production.freeze_windows == definition.environments[0].freeze_windows
        assert production.approval is not None
        assert production.approval.required == 2

    def test_json(self) -> None:
        assert parse_definition(environment().encode(), "x").environments[0].external

    @pytest.mark.parametrize(("word", "right"), [("yes", "true"), ("on", "true"), ("no", "false"), ("off", "false")])
    def test_a_boolean_of_yaml_1_1_is_refused_by_name(self, word: str, right: str) -> None:
        text = f"environments: [{{name: staging, external: {word}}}]"
        (error,) = refused(text).errors
        assert error.field == "environments.0.external"
        assert error.message.endswith(f"write {right} without quotes, not {word!r}")

    def test_text_stays_text(self) -> None:
        text = GOOD.replace("run: make", "run: make, env: {DEBUG: on, MODE: 0777, AT: 1:30, DAY: 2026-11-21}")
        definition = parse_definition(text.encode(), "x")
        assert definition.build is not None
        assert definition.build.steps[0].env == {"DEBUG": "on", "MODE": "0777", "AT": "1:30", "DAY": "2026-11-21"}

    def test_all_errors_at_once_by_path(self) -> None:
        text = """
        policy: {}
        build: {steps: [{name: make}]}
        environments:
          - name: Staging
            steps: [{name: go, run: go, timeout_seconds: soon}]
            freeze_windows: [{name: w, cron: 0 25 * * *, duration_seconds: 60, timezone: Mars}]
          - {name: production, steps: [{name: go, run: go}], rollout: {percent: [50, 10]}}
        """
        error = refused(text)
        assert {found.field for found in error.errors} == {
            "policy",
            "build.steps.0.run",
            "environments.0.name",
            "environments.0.steps.0.timeout_seconds",
            "environments.0.freeze_windows.0.cron",
            "environments.0.freeze_windows.0.timezone",
            "environments.1.rollout",
        }
        assert "; and 2 more" in error.message

    def test_cron_and_zone_of_a_definition_that_is_else_well(self) -> None:
        bad = {"name": "w", "cron": "0 0 31 2 *", "duration_seconds": 60, "timezone": "Europe/Atlantis"}
        assert [found.field for found in refused(environment(freeze_windows=[bad])).errors] == [
            "environments.0.freeze_windows.0.cron",
            "environments.0.freeze_windows.0.timezone",
        ]

    @pytest.mark.parametrize("text", ["{}", "environments: []", "build: {steps: [{name: a, run: b}]}"])
    def test_at_least_one_environment(self, text: str) -> None:
        assert [found.field for found in refused(text).errors] == ["environments"]

    @pytest.mark.parametrize("text", ["", "~", "7", "[]", "just words"])
    def test_something_else_than_a_definition(self, text: str) -> None:
        assert refused(text).errors

    def test_values_stay_out_of_a_definitions_errors(self) -> None:
        error = refused(environment(env={"TOKEN": {"a": "hunter2"}}, surprise="hunter2"))
        assert {found.field for found in error.errors} == {"environments.0.env.TOKEN", "environments.0.surprise"}
        assert "hunter2" not in str(error) + str(error.details)


class TestHostileText:
    @pytest.mark.parametrize(
        "text",
        [
            b"a: &a [x, x]\n" + b"".join(b"a%d: &a [*a, *a, *a, *a]\n" % number for number in range(40)),
            b"x: &a {k: v}\n" + b"".join(b"x%d: &a {<<: [*a, *a, *a], k%d: v}\n" % (n, n) for n in range(60)),
            b"&a [*a]",
            b"[" * 100_000,
            b"{a: " * 50_000,
            b"- " * 100_000,
            b"a: " + b"9" * 100_000,
            b"!!python/object/apply:os.system [id]",
            b"a: 1\na: 2",
            b"\xff\xfe",
            b"environments: \x00",
            b"a: 1\n---\nb: 2",
            b"environments: .inf",
            b'{"environments": NaN}',
            b"%YAML 9.9\n---\n{}",
            b"? [a, b]\n: c",
        ],
        ids=lambda text: repr(text[:24]),
    )
    def test_it_is_refused_in_time(self, text: bytes) -> None:
        begun = time.process_time()
        assert refused(text).errors
        assert time.process_time() - begun < 3

    def test_the_largest_text_is_read_in_time(self) -> None:
        line = "  - {name: a, run: b}\n"
        text = "environments:\n- name: staging\n  steps:\n" + line * (MAX_DEFINITION_BYTES // len(line) - 5)
        begun = time.process_time()
        assert refused(text).errors[0].field == "environments.0.steps"
        assert time.process_time() - begun < 5


class TestLoad:
    async def load(
        self, content: bytes | None, path: str = ".hybridci.yml", asked: str | None = None
    ) -> ServiceDefinition:
        store = MemoryArtifactStore()
        if content is not None:
            await store.put("job", 2, path, io.BytesIO(content), sha256=hashlib.sha256(content).hexdigest())
        return await load_definition(store, DefinitionRequest(job_id="job", attempt=2, path=asked or path))

    async def test_the_artifact_of_the_attempt(self) -> None:
        assert len((await self.load(GOOD.encode())).environments) == 2

    async def test_a_path_is_the_same_however_it_is_written(self) -> None:
        found = await self.load(GOOD.encode(), "ci/service.yml", "./ci//service.yml")
        assert len(found.environments) == 2

    async def test_a_missing_file_is_a_refusal(self) -> None:
        with pytest.raises(ValidationFailed, match="no such file at this commit"):
            await self.load(None)

    @pytest.mark.parametrize("more", [1, 4 * MAX_DEFINITION_BYTES])
    async def test_a_file_that_is_too_large_is_a_refusal(self, more: int) -> None:
        with pytest.raises(ValidationFailed, match="larger than 262144 bytes"):
            await self.load(b"#" * (MAX_DEFINITION_BYTES + more))

    async def test_a_file_of_just_the_allowed_size_is_read(self) -> None:
        text = GOOD.encode()
        found = await self.load(text + b"#" * (MAX_DEFINITION_BYTES - len(text)))
        assert len(found.environments) == 2


def test_no_two_environments_share_a_workflow_id() -> None:
    with pytest.raises(ValidationError, match="name"):
        Environment.model_validate({"name": "eu-prod", "steps": [{"name": "a", "run": "b"}]})
    Environment.model_validate({"name": "eu_prod", "steps": [{"name": "a", "run": "b"}]})
