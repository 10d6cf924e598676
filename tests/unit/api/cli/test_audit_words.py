"""What a line of the trail says was done: never nothing."""

from typing import Any

import pytest

from api.cli.commands.audit import what_of


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"message": "Said so."}, "Said so."),
        ({"details": {"pool": "big", "changed": ["pool: a → big", "env A: set"]}}, "pool: a → big; env A: set"),
        ({"details": {"priority": "HIGH", "labels": {"a": "b"}}}, "priority: HIGH"),
        ({"job_id": "3f2a9c01-0000", "pool": "big"}, "job 3f2a9c01, pool big"),
        ({"service_name": "checkout", "environment": "staging"}, "service checkout, environment staging"),
        ({}, "-"),
    ],
)
def test_what_was_done(event: dict[str, Any], words: str) -> None:
    assert what_of({"message": "", "details": {}, **event}) == words
