"""What the tests of the CLI's commands for jobs share."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from api.cli.commands import dlq, job, queue
from tests.api.cli_bench import ADMIN_KEY, Served, environment

APPS = {"job": job.app, "dlq": dlq.app, "queue": queue.app}


def call(api: Served | str, *arguments: str, key: str = ADMIN_KEY, text: str | None = None) -> Result:
    url = api if isinstance(api, str) else api.url
    env: dict[str, str | None] = {**environment(url, key), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(APPS[arguments[0]], list(arguments[1:]), env=env, input=text)


def told(api: Served, *arguments: str) -> Any:
    result = call(api, *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
