"""DynamoDB's answers say what boto3's own parser says, however they are read."""

import json
from typing import Any

import botocore.session
import pytest
from botocore.parsers import JSONParser

from activities.stores.dynamo.client import PlainAnswers, PlainAnswersFactory

ITEM: dict[str, Any] = {
    "place": {"S": "a \u202e \"B text ✓"}, "n": {"N": "12345678901234567890.1"}, "none": {"NULL": True},
    "flag": {"BOOL": False}, "list": {"L": [{"S": ""}, {"M": {"S": {"N": "1"}}}]}, "names": {"SS": ["x", "y"]},
}  # fmt: skip
PACKED = {"packed": {"B": "aGVsbG8="}}
ANSWERS: list[tuple[str, Any]] = [
    ("Query", {"Items": [ITEM, {}], "Count": 2, "ScannedCount": 7, "LastEvaluatedKey": {"place": {"S": "x"}}}),
    ("Query", {"Items": [], "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": None}),
    ("Query", {"Items": [{**ITEM, **PACKED}], "Count": 1, "ScannedCount": 1}),
    ("GetItem", {"Item": ITEM}),
    ("GetItem", {"Item": PACKED}),
    ("GetItem", {"Item": {"each": {"BS": ["aGVsbG8=", ""]}}}),
    ("GetItem", {}),
    ("BatchGetItem", {"Responses": {"t": [ITEM]}, "UnprocessedKeys": {"t": {"Keys": [{"place": {"S": "x"}}]}}}),
    ("TransactWriteItems", {}),
    ("DescribeTable", {"Table": {"TableName": "t", "CreationDateTime": 1.8e9, "ItemCount": 3}}),
]


def _shape(operation: str) -> Any:
    return botocore.session.Session().get_service_model("dynamodb").operation_model(operation).output_shape


@pytest.mark.parametrize(("operation", "body"), ANSWERS)
@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_says_what_boto3_says(operation: str, body: Any, status: int) -> None:
    shape = _shape(operation)
    said = body if status == 200 else {"__type": "com.amazonaws.dynamodb#ResourceNotFoundException", "message": "no"}
    headers = {"X-Amzn-RequestId": "r-1", "x-amzn-requestid": "r-1", "Content-Type": "application/x-amz-json-1.0"}
    response: dict[str, Any] = {
        "status_code": status,
        "headers": headers,
        "body": json.dumps(said).encode(),
        "context": {},
    }
    assert PlainAnswers().parse(response, shape) == JSONParser().parse(response, shape)


def test_what_is_no_json_is_told_as_boto3_tells_it() -> None:
    shape = _shape("GetItem")
    response: dict[str, Any] = {"status_code": 200, "headers": {}, "body": b"<html>", "context": {}}
    assert PlainAnswers().parse(response, shape) == JSONParser().parse(response, shape)


def test_other_protocols_have_their_own_parsers() -> None:
    factory = PlainAnswersFactory()
    assert isinstance(factory.create_parser("json"), PlainAnswers)
    assert type(factory.create_parser("rest-xml")).__name__ == "RestXMLParser"
