"""A form as an edit, what it changes, times as people write them, files as a tree, names of a ZIP file."""

import pytest

from api.attempts.zipped import safe_name
from api.dashboard.jobs.edits import FieldChange, amend_of, changes_of, edit_of, fields_of, plain_values, seen_of
from api.dashboard.jobs.moments import moment_in
from api.dashboard.jobs.tree import tree_of
from tests.stores.lives import make_job
from workflows.contracts.jobs import ArtifactRef, Job, Step
from workflows.contracts.workspace.step_rules import When

NOW = 1_800_000_000_000


def a_job() -> Job:
    return make_job(pool="default", env={"DB": "live", "OLD": "1"}, timeout_seconds=3600)


def test_only_what_differs_is_an_edit() -> None:
    job = a_job()
    same = {**plain_values(job), "max_attempts": "", "env": ""}
    assert edit_of(same, job) == {}
    form = {**same, "pool": "big", "timeout_seconds": "900", "max_attempts": "2", "env": "DB=a=b\r\n\r\nOLD\r\n"}
    assert edit_of(form, job) == {
        "pool": "big", "timeout_seconds": 900, "max_attempts": 2, "env": {"DB": "a=b", "OLD": None},
    }  # fmt: skip


def test_a_retry_policy_is_changed_as_a_whole() -> None:
    job = a_job()
    edit = edit_of({**plain_values(job), "backoff": "3.5", "final_exit_codes": "2, 7"}, job)
    assert edit == {"retry": {**job.retry.model_dump(mode="json"), "backoff": 3.5, "final_exit_codes": [2, 7]}}
    assert changes_of(job, edit) == [
        FieldChange("retry backoff", "2", "3.5"), FieldChange("retry final_exit_codes", "", "2 7"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["soon", "-1", "1.5", "²", "9" * 5000, "nan"])
def test_what_is_no_number_is_left_to_the_api(text: str) -> None:
    assert edit_of({"timeout_seconds": text}) == {"timeout_seconds": text}


def test_the_difference_says_what_is_set_and_what_goes() -> None:
    job = a_job()
    found = changes_of(job, {"env": {"DB": "test", "OLD": None, "NEW": "x", "GONE": None}, "priority": "HIGH"})
    assert found == [
        FieldChange("priority", "NORMAL", "HIGH"),
        FieldChange("env DB", "live", "test"),
        FieldChange("env OLD", "1", None),
        FieldChange("env NEW", None, "x"),
    ]


def test_commands_and_the_commit_are_changed_and_line_ends_of_browsers_are_none() -> None:
    job = a_job().model_copy(
        update={"steps": [Step(name="make", run="make\nmake test\n", when=When.ALWAYS), Step(name="ls", run="ls")]}
    )
    same = {**plain_values(job), "run_0": "make\r\nmake test\r\n", "run_1": "ls"}
    assert edit_of(same, job) == {}
    assert fields_of(job)[-2:] == ["run_0", "run_1"]
    edit = edit_of({**same, "run_1": "ls -l\r\npwd", "git_commit_sha": "c" * 40}, job)
    assert edit == {
        "git_commit_sha": "c" * 40,
        "steps": [{"name": "make", "run": "make\nmake test\n", "when": "always"}, {"name": "ls", "run": "ls -l\npwd"}],
    }
    assert changes_of(job, edit) == [
        FieldChange("git_commit_sha", job.git_commit_sha, "c" * 40), FieldChange("step ls", "ls", "ls -l\npwd"),
    ]  # fmt: skip


def test_whoever_changed_or_ran_it_leaves_another_mark() -> None:
    job = a_job()
    others = [
        job.model_copy(update={"pool": "big"}),
        job.model_copy(update={"env": {"DB": "test"}}),
        job.model_copy(update={"queued_at": 7}),
        job.model_copy(update={"git_commit_sha": "e" * 40}),
        job.model_copy(update={"steps": [Step(name="other", run="other")]}),
    ]
    assert len({seen_of(job), *map(seen_of, others)}) == 6
    assert seen_of(job) == seen_of(job.model_copy(update={"sequence": 99}))


def test_labels_and_tags_are_lines() -> None:
    form = {"pool": "default", "priority": "HIGH", "labels": "team=a=b\r\n\r\nx=1\r\n", "tags": "one\r\n two \r\n"}
    assert amend_of(form, a_job()) == {
        "priority": "HIGH", "labels": {"team": "a=b", "x": "1"}, "tags": ["one", "two"],
    }  # fmt: skip
    assert amend_of({"labels": "", "tags": ""}) == {"labels": {}, "tags": []}


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("2h", NOW - 7_200_000),
        (" 3 D ", NOW - 3 * 86_400_000),
        ("2026-12-24", 1_798_070_400_000),
        ("2026-12-24T18:00", 1_798_135_200_000),
        ("2026-12-24T18:00+01:00", 1_798_131_600_000),
        ("1798070400000", 1_798_070_400_000),
        ("999999d", 0),
        ("yesterday", None),
        ("", None),
        ("0001-01-01", None),
        ("9" * 400, None),
        ("²h", None),
    ],
)
def test_times_as_people_write_them(text: str, millis: int | None) -> None:
    assert moment_in(text, NOW) == millis


def test_files_stand_in_their_folders() -> None:
    files = [ArtifactRef(path=path, size=size, sha256="") for path, size in (("b/c/x", 3), ("a", 1), ("b/y", 2))]
    root = tree_of(files)
    assert (root.count, root.size, [name for name, _ in root.files], list(root.folders)) == (3, 6, ["a"], ["b"])
    inner = root.folders["b"]
    assert (inner.count, inner.size, [name for name, _ in inner.files]) == (2, 5, ["y"])
    deep = tree_of([ArtifactRef(path="/".join("a" * 400), size=1, sha256="")])
    depth = 0
    while deep.folders:
        deep, depth = next(iter(deep.folders.values())), depth + 1
    assert depth == 12
    assert len(deep.files[0][0]) > 700


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("dist/app.tar.gz", "dist/app.tar.gz"),
        ("..\\..\\up", ".._.._up"),
        ("C:/windows", "C_/windows"),
        (".. /x", "___/x"),
        ("a./b ", "a_/b_"),
        ("x\u202egnp.exe", "x_gnp.exe"),
        ("größe", "größe"),
        ("/", "_"),
    ],
)
def test_names_of_an_archive_stay_inside(path: str, name: str) -> None:
    assert safe_name(path) == name
