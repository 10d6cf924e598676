"""Searching a whole log: one bounded request after the other, until the log's end."""

import sys
from collections.abc import Mapping
from typing import Any

from api.cli.client.http import JOBS, ApiClient
from api.cli.client.terminal import sink_for
from api.cli.output import note, print_json


def search_log(api: ApiClient, job_id: str, asked: Mapping[str, str | int | None], limit: int, *, as_json: bool) -> int:
    """Print the first ``limit`` lines with a match and how many there are. Returns how many. Raises CliError."""
    found, hits, searched, cursor = 0, list[dict[str, Any]](), 0, None
    while True:
        params = {**asked, "limit": max(1, limit - len(hits)), "cursor": cursor}
        answer: Any = api.get(f"{JOBS}/{job_id}/logs/search", params)
        found += int(answer["count"])
        searched += int(answer["searched_bytes"])
        fresh = answer["hits"][: limit - len(hits)]
        hits += fresh
        if not as_json:
            with sink_for(sys.stdout) as sink:
                for hit in fresh:
                    sink.write(f"{hit['line']}: {hit['text']}\n".encode())
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    if as_json:
        print_json({**answer, "count": found, "hits": hits, "searched_bytes": searched})
    else:
        shown = f", the first {len(hits)} are shown" if found > len(hits) else ""
        note(f"{found} lines of attempt {answer['attempt']}{shown}.")
    return found
