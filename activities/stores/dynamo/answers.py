"""DynamoDB's answers as they come: their JSON is what boto3 makes of it, but for bytes and times.

boto3 walks through every value of an answer by its description of the service, which takes twenty times as long as
reading the JSON: 3 ms for a day's counters. Answers that can hold neither, and errors, are its own.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from botocore.parsers import JSONParser, ResponseParserFactory

_AS_THEY_ARE: Final = frozenset({"GetItemOutput", "QueryOutput", "BatchGetItemOutput"})
_BYTES: Final = (b'"B"', b'"BS"')
"""Where one of these stands, be it in a text, there may be bytes, which boto3 decodes."""
_OK: Final = 200


class PlainAnswers(JSONParser):
    """boto3's own parser, but for answers whose JSON is what is wanted."""

    def parse(self, response: Mapping[str, Any], shape: Any) -> Any:
        """What the answer says, as boto3 says it."""
        body = response["body"]
        if (
            response["status_code"] != _OK
            or getattr(shape, "name", None) not in _AS_THEY_ARE
            or any(mark in body for mark in _BYTES)
        ):
            return super().parse(response, shape)
        try:
            found = json.loads(body)
        except ValueError:
            return super().parse(response, shape)
        headers = {name.lower(): value for name, value in response["headers"].items()}
        about = {"HTTPStatusCode": _OK, "HTTPHeaders": headers}
        if "x-amzn-requestid" in headers:
            about["RequestId"] = headers["x-amzn-requestid"]
        return {**{name: value for name, value in found.items() if value is not None}, "ResponseMetadata": about}


class PlainAnswersFactory(ResponseParserFactory):
    """Registered as the session's ``response_parser_factory``."""

    def create_parser(self, protocol_name: str) -> Any:
        """Of DynamoDB's protocol ours."""
        return PlainAnswers() if protocol_name == "json" else super().create_parser(protocol_name)
