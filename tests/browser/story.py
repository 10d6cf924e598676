"""A small story played on a stack, so that its pages have something to show: also for the README's picture.

Deliberately not here: looking at it (``walk``, ``screenshot``).
"""

from collections.abc import Sequence
from typing import Final

from tests.e2e.stack import Stack
from tests.servers import wait_until

SERVICE: Final = """
name: {name}
git_repo: {repo}
git_ref: main
description: {words}
environments:
  - name: staging
    steps: [{{name: deploy, run: "echo rolling out; true"}}]
  - name: production
    steps: [{{name: deploy, run: "true"}}]
    approval: {{required: 1}}
    verification: {{max_error_rate: 0.1}}
    rollback: {{steps: [{{name: back, run: "true"}}]}}
"""


class Story:
    """What happened on one stack."""

    def __init__(self, stack: Stack, repo: str, sha: str) -> None:
        self.stack, self._repo, self._sha = stack, repo, sha

    def service(self, name: str, words: str = "Takes the money") -> None:
        """Register it."""
        file = self.stack.data.parent / f"{name}.yml"
        quoted = "'" + words.replace("'", "''") + "'"
        file.write_text(SERVICE.format(name=name, repo=self._repo, words=quoted))
        self._cli("service", "apply", "-f", str(file))

    def job(self, script: str, *more: str, author: str = "ann@example.com", message: str = "Tidy up") -> str:
        """Submit one; its id."""
        body = {
            "job_type": "test", "git_repo": self._repo, "git_commit_sha": self._sha, "git_author": author,
            "git_commit_message": message, "steps": [{"name": "unit tests", "run": script}], "tags": list(more),
            "retry": {"max_attempts": 1},
        }  # fmt: skip
        with self.stack.http() as api:
            answer = api.post("/api/dashboard/jobs", json=body)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["job_id"])

    def deploy(self, service: str, version: str, *, author: str = "ann@example.com", message: str = "Tidy up") -> str:
        """Begin a deployment; its id."""
        body = {
            "service_name": service, "version": version, "git_commit_sha": self._sha, "git_author": author,
            "git_commit_message": message,
        }  # fmt: skip
        with self.stack.http() as api:
            answer = api.post("/api/dashboard/deployments", json=body)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["deployment_id"])

    def approve(self, deployment_id: str) -> None:
        """As soon as it asks."""
        path = f"/api/dashboard/deployments/{deployment_id}"
        with self.stack.http() as api:
            wait_until(
                lambda: api.post(f"{path}/approve", json={}).is_success, seconds=60, what=f"{deployment_id} approved"
            )

    def until(self, deployment_id: str, *statuses: str) -> None:
        """Until it stands so."""
        path = f"/api/dashboard/deployments/{deployment_id}"
        with self.stack.http() as api:
            wait_until(lambda: api.get(path).json()["status"] in statuses, seconds=60, what=f"{statuses}")

    def ended(self, jobs: Sequence[str]) -> None:
        """Until all have ended or are given up."""
        with self.stack.http() as api:
            for job in jobs:
                path = f"/api/dashboard/jobs/{job}"
                wait_until(
                    lambda path=path: api.get(path).json()["status"] not in {"pending", "queued", "running"},
                    seconds=60, what=f"the end of {job}",
                )  # fmt: skip

    def _cli(self, *arguments: str) -> None:
        done = self.stack.cli(*arguments)
        assert done.returncode == 0, done.stderr


def play(story: Story, words: str) -> None:
    """One of most things, with these words wherever they may stand."""
    story.service("checkout", words)
    story.service("search", words)
    jobs = [
        story.job(
            f"printf '%s\\n' {_quoted(words)}; printf '\\033[31mred\\033[0m\\r\\n\\342\\200\\256turned\\n'", words[:60]
        ),
        story.job(f"echo looking for a file; printf '%s\\n' {_quoted(words)}; exit 3", author=words, message=words),
    ]
    first = story.deploy("checkout", "1.0", author=words, message=words)
    story.approve(first)
    story.until(first, "live")
    story.deploy("search", "2.0")
    second = story.deploy("checkout", "1.1", author=words, message=words)
    story.until(second, "staged")
    with story.stack.http() as api:
        held = api.post(
            "/api/dashboard/holds", json={"name": words, "reason": words, "scope": {"services": ["search"]}}
        )
        assert held.is_success, held.text
        paused = api.post(f"/api/agents/{_agent(story.stack)}/pause", json={"note": words[:200], "seconds": 86_000})
        assert paused.is_success, paused.text
    story.ended(jobs)


def _agent(stack: Stack) -> str:
    with stack.http() as api:
        return str(api.get("/api/agents").json()["items"][0]["agent_id"])


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "'\\''") + "'"
