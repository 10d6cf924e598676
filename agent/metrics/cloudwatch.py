"""CloudWatch, with the customer's credentials as boto3 finds them. Signing is the SDK's."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from botocore.config import Config

from agent.secrets.aws import aws_session

_CONFIG: Final = Config(connect_timeout=3, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 2})


async def cloudwatch_value(expression: str, period: int, span_seconds: int, seconds: float) -> float | None:
    """The newest value of the expression's first series; None: there is none. Raises TimeoutError, and the SDK's."""
    async with asyncio.timeout(seconds):
        return await asyncio.to_thread(_value, expression, period, span_seconds)


def _value(expression: str, period: int, span_seconds: int) -> float | None:
    client = aws_session().client("cloudwatch", config=_CONFIG)
    now = datetime.now(UTC)
    answer = client.get_metric_data(
        MetricDataQueries=[{"Id": "q", "Expression": expression, "Period": period}],
        StartTime=now - timedelta(seconds=max(span_seconds, 2 * period)),
        EndTime=now,
        ScanBy="TimestampDescending",
    )
    results = cast("list[dict[str, Any]]", answer["MetricDataResults"])
    values = cast("list[float]", results[0]["Values"]) if results else []
    return float(values[0]) if values else None
