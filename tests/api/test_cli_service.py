"""`hybridci service`: files in, definitions out. A real API over HTTP, with fakes behind it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.api.cli_bench import ADMIN_KEY, Served, served
from tests.api.cli_deploys import (
    SPEC,
    STEPS,
    call,
    done,
    environment_is,
    register,
    told,
)
from workflows.contracts.deployments.environments import (
    Hold,
)


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


class TestServices:
    def test_created_unchanged_changed(self, api: Served, tmp_path: Path) -> None:
        file = tmp_path / "shop.yml"
        file.write_text(yaml.safe_dump({"name": "svc-a", **SPEC}))
        first = done(api, "service", "apply", "-f", str(file))
        assert first.stdout == "svc-a: created, version 1\n"
        assert "hybridci deploy start svc-a --version" in first.stderr
        assert done(api, "service", "apply", "-f", str(file)).stdout == "svc-a: unchanged, version 1\n"
        file.write_text(json.dumps({"name": "svc-a", **SPEC, "description": "The shop"}))
        assert done(api, "service", "apply", "-f", str(file)).stdout == "svc-a: changed, version 2\n"
        renamed = told(api, "service", "apply", "-f", str(file), "--name", "svc-b")
        assert (renamed["name"], renamed["version"]) == ("svc-b", 1)

    def test_only_the_expected_version(self, api: Served) -> None:
        text = json.dumps({"name": "svc-if", **SPEC})
        assert call(api, "service", "apply", "-f", "-", "--if-version", "4", text=text).exit_code == 1
        done(api, "service", "apply", "-f", "-", "--if-version", "0", text=text)
        again = call(api, "service", "apply", "-f", "-", "--if-version", "0", text=text)
        assert again.exit_code == 1
        assert "has version 1" in again.stderr
        done(api, "service", "apply", "-f", "-", "--if-version", "1", text=text)

    def test_every_bad_field_is_named(self, api: Served) -> None:
        wrong = {**SPEC, "environments": [{"name": "No!", "steps": STEPS}], "colour": "red"}
        result = call(api, "service", "apply", "-f", "-", "--name", "svc-bad", text=json.dumps(wrong))
        assert result.exit_code == 1
        assert "environments.0.name" in result.stderr
        assert "colour" in result.stderr

    def test_errors_have_their_lines(self, api: Served, tmp_path: Path) -> None:
        file = tmp_path / "shop.yml"
        file.write_text(
            "name: svc-lines\ngit_repo: https://x.example/r.git\nenvironments:\n  - name: No!\n    steps: []\n"
        )
        refused = call(api, "service", "apply", "-f", str(file))
        assert refused.exit_code == 1
        assert "line 4: environments.0.name" in refused.stderr
        checked = call(api, "service", "check", "-f", str(file))
        assert checked.exit_code == 1
        assert "line 4: environments.0.name" in checked.stdout
        file.write_text(
            "git_repo: https://x.example/r.git\nenvironments:\n  - {name: one, steps: [{name: a, run: b}]}\n"
        )
        good = done(api, "service", "check", "-f", str(file), "--name", "svc-lines")
        assert "+git_repo: https://x.example/r.git" in good.stdout
        assert call(api, "service", "show", "svc-lines").exit_code == 1, "nothing was changed"

    def test_each_fault_is_told_once_and_by_line(self, api: Served, tmp_path: Path) -> None:
        file = tmp_path / "shop.yml"
        lines = (
            "name: svc-once", "git_repo: https://x.example/r.git", "environments:", "  - name: one",
            "    stepz: []", "    externl: true", "  - nam: two", "labelz: {}",
        )  # fmt: skip
        file.write_text("\n".join(lines) + "\n")
        checked = call(api, "service", "check", "-f", str(file)).stdout.splitlines()
        numbers = [int(line.split(":")[0].removeprefix("line ")) for line in checked]
        assert numbers == sorted(numbers)
        assert {5, 6, 7, 8} <= set(numbers)
        applied = call(api, "service", "apply", "-f", str(file))
        assert applied.exit_code == 1
        first, *others = applied.stderr.splitlines()
        assert first == f"hybridci: Nothing was changed. Correct this in {file}:"
        assert others == [f"  {line}" for line in checked]

    def test_a_file_without_a_name_or_a_repository(self, api: Served, tmp_path: Path) -> None:
        text = json.dumps({key: value for key, value in SPEC.items() if key != "git_repo"})
        nameless = call(api, "service", "apply", "-f", "-", text=text)
        assert nameless.exit_code == 2
        assert "--name" in nameless.stderr
        done(api, "service", "apply", "-f", "-", "--name", "svc-r", "--repo", "https://x.example/r.git", text=text)
        assert told(api, "service", "show", "svc-r")["spec"]["git_repo"] == "https://x.example/r.git"
        odd = call(api, "service", "apply", "-f", "-", "--name", "../a b", text=json.dumps(SPEC))
        assert odd.exit_code == 1
        assert "Traceback" not in odd.output

    def test_what_is_shown_can_be_applied_again(self, api: Served) -> None:
        register(api, "svc-show")
        environment_is(api, "svc-show", hold=Hold(by="bob", reason="incident", at=1_700_000_000_000))
        text = done(api, "service", "show", "svc-show").stdout
        assert "# production: Live: nothing yet; ON HOLD by bob" in text
        assert done(api, "service", "apply", "-f", "-", text=text).stdout == "svc-show: unchanged, version 1\n"
        assert "svc-show" in done(api, "service", "list").stdout
        assert "staging → production" in done(api, "service", "list").stdout
        assert call(api, "service", "show", "svc-show", "--version", "7").exit_code == 1
        assert "ON HOLD" not in done(api, "service", "show", "svc-show", "--version", "1").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("service", "show", "near-chekout"),
        ("service", "archive", "near-chekout", "--reason", "x"),
        ("deploy", "start", "near-chekout", "--version", "1", "--sha", "a" * 40, "--author", "ann@example.com"),
        ("deploy", "show", "near-chekout"),
        ("deploy", "show", "near-chekout@1.0"),
    ],
)
def test_a_mistyped_service_is_told_what_is_near(api: Served, words: tuple[str, ...]) -> None:
    register(api, "near-checkout")
    refused = call(api, *words)
    assert refused.exit_code == 1
    assert refused.stderr.count("Did you mean near-checkout?") == 1
    assert "Did you mean" not in call(api, "service", "show", "quite-another-thing").stderr


class TestGitRepo:
    """A folder is resolved by the command line, from where the file lies; the API knows addresses only."""

    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        top = tmp_path / "team" / "shop"
        (top / "deploy").mkdir(parents=True)
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        for words in (("init", "-q", "-b", "main"), (*identity, "commit", "-q", "--allow-empty", "-m", "x")):
            subprocess.run(["git", "-C", str(top), *words], check=True)
        return top

    @pytest.mark.parametrize("said", [".", "..", "./", "../../shop"])
    def test_a_folder_is_looked_for_from_the_file(self, api: Served, checkout: Path, said: str) -> None:
        file = checkout / "deploy" / "service.yml"
        name = f"svc-here-{len(said)}"
        file.write_text(yaml.safe_dump({"name": name, **SPEC, "git_repo": said}))
        assert done(api, "service", "check", "-f", str(file)).exit_code == 0
        done(api, "service", "apply", "-f", str(file))
        assert told(api, "service", "show", name)["spec"]["git_repo"] == checkout.resolve().as_uri()

    def test_a_folder_that_is_not_there(self, api: Served, tmp_path: Path) -> None:
        file = tmp_path / "service.yml"
        file.write_text(yaml.safe_dump({"name": "svc-lost", **SPEC, "git_repo": "./nowhere"}))
        refused = call(api, "service", "apply", "-f", str(file))
        assert refused.exit_code == 2
        assert "there is no folder" in refused.stderr

    def test_the_api_says_that_it_is_none_for_it(self, api: Served) -> None:
        refused = httpx.put(
            f"{api.url}/api/dashboard/services/svc-path",
            json={**SPEC, "git_repo": "."},
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
        )
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert error["field"] == "git_repo"
        assert "only `hybridci` on the machine of that folder can resolve" in error["message"]

    def test_what_init_writes_passes_the_check(
        self, api: Served, checkout: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(checkout)
        done(api, "init")
        assert "nothing would change" not in done(api, "service", "check", "-f", ".hybridci.yml").stdout
        assert "shop: created, version 1" in done(api, "service", "apply", "-f", ".hybridci.yml").stdout
        assert done(api, "service", "check", "-f", ".hybridci.yml").stdout == "shop: nothing would change.\n"
        done(api, "init", "--job")
        assert told(api, "job", "submit", "-F", "hybridci-job.yml")["git_repo"] == checkout.resolve().as_uri()
