"""The protocol itself: headers, encodings, and the order in which a request is checked."""

import base64
import datetime
import re
import uuid

import pytest

from operations import model
from wire import CBOR, JSON, PREFIX, cbor, send, signed_query

NAME = {"StreamName": "absent"}
XML = "<UnknownOperationException/>"


def exception(reply, code, status=400):
    """The text of an exception."""
    assert reply.status == status, reply.body
    body = reply.json()
    assert body["__type"] == code
    return body.get("message", body.get("Message"))


def test_a_reply_has_the_headers_of_the_service(stream):
    for operation, body, status in [
        ("DescribeStream", {"StreamName": stream.name}, 200),
        ("DescribeStream", NAME, 400),
        ("NoSuchOperation", {}, 400),
    ]:
        reply = send(operation, body)
        assert reply.status == status
        assert reply.headers["Content-Type"] == JSON
        assert int(reply.headers["Content-Length"]) == len(reply.body)
        assert str(uuid.UUID(reply.headers["x-amzn-RequestId"]))
        assert len(base64.b64decode(reply.headers["x-amz-id-2"], validate=True)) == 72
    assert send("ListStreams").headers["x-amzn-RequestId"] != reply.headers["x-amzn-RequestId"]


def test_an_operation_without_a_reply_has_an_empty_body(stream):
    reply = send("AddTagsToStream", {"StreamName": stream.name, "Tags": {"a": "1"}})
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Length"] == "0"


def test_an_exception_is_named_and_told(stream):
    reply = send("DescribeStream", NAME)
    assert reply.json() == {
        "__type": "ResourceNotFoundException",
        "message": "Stream absent under account 000000000000 not found.",
    }


def test_numbers_times_and_data_are_written_as_the_service_does(stream):
    put = send("PutRecord", {"StreamName": stream.name, "Data": "AP8=", "PartitionKey": "é"})
    iterator = stream.iterator()
    [record] = send("GetRecords", {"ShardIterator": iterator}).json()["Records"]
    assert record["Data"] == "AP8="
    assert record["PartitionKey"] == "é"
    assert record["SequenceNumber"] == put.json()["SequenceNumber"]
    arrival = record["ApproximateArrivalTimestamp"]
    assert isinstance(arrival, (int, float)) and 1.7e9 < arrival < 5e9
    assert round(arrival, 3) == arrival


@pytest.mark.parametrize("content_type", [JSON, JSON + "; charset=utf-8"])
def test_a_content_type_may_have_parameters(content_type):
    assert send("ListStreams", Content_Type=content_type).status == 200


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-amz-json-1.0"])
def test_another_content_type_is_an_unknown_operation(content_type):
    reply = send("ListStreams", Content_Type=content_type)
    assert (reply.status, reply.body.decode().strip()) == (404, XML)
    assert "json" not in reply.headers.get("Content-Type", "")


@pytest.mark.parametrize("body", [b"", b"{", b"7", b'"text"', b"null", b"\xff", b"{} {}"])
def test_what_is_no_json_object_is_told_before_all_else_is_looked_at(body):
    # Not even the signature is.
    exception(send("DescribeStream", body, Authorization=None), "SerializationException")


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "ListStreams",
        "Kinesis_20131202",
        "Kinesis_20131202.",
        "Kinesis_20131202.NoSuchOperation",
        "Kinesis_20131202.ListQueues",
        "Kinesis_20131202.CreateChannel",
        "DynamoDB_20120810.ListTables",
        "Kinesis_20131202.liststreams",
    ],
)
def test_an_unknown_target_is_told_before_the_signature_is_looked_at(target):
    reply = send(X_Amz_Target=target, Authorization=None)
    exception(reply, "UnknownOperationException")


def test_no_signature_is_a_missing_token():
    text = exception(
        send("DescribeStream", NAME, Authorization=None), "MissingAuthenticationTokenException"
    )
    assert text == "Missing Authentication Token"


def test_what_a_signature_lacks_is_listed():
    header = "AWS4-HMAC-SHA256 Credential=anabranch"
    reply = send("DescribeStream", NAME, Authorization=header)
    assert exception(reply, "IncompleteSignatureException") == (
        "Authorization header requires 'Signature' parameter. "
        "Authorization header requires 'SignedHeaders' parameter. "
        f"Authorization={header}"
    )
    reply = send("DescribeStream", NAME, Authorization="AWS4-HMAC-SHA256 ", X_Amz_Date=None)
    assert exception(reply, "IncompleteSignatureException") == (
        "Authorization header requires 'Credential' parameter. "
        "Authorization header requires 'Signature' parameter. "
        "Authorization header requires 'SignedHeaders' parameter. "
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        "Authorization=AWS4-HMAC-SHA256"
    )


def test_what_a_presigned_request_lacks_is_listed():
    path = signed_query(without=["X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature"])
    reply = send("DescribeStream", NAME, path=path, Authorization=None, X_Amz_Date=None)
    assert exception(reply, "IncompleteSignatureException") == (
        "AWS query-string parameters must include 'X-Amz-Credential'. "
        "AWS query-string parameters must include 'X-Amz-Signature'. "
        "AWS query-string parameters must include 'X-Amz-Date'. "
        "Re-examine the query-string parameters."
    )


def test_two_signatures_are_one_too_many():
    reply = send("DescribeStream", NAME, path=signed_query())
    assert exception(reply, "InvalidSignatureException") == (
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
    )


def test_a_presigned_request_is_carried_out():
    reply = send("ListStreams", path=signed_query(), Authorization=None, X_Amz_Date=None)
    assert reply.status == 200


def test_a_signature_is_looked_at_before_types():
    reply = send("DescribeStream", {"StreamName": 7}, Authorization=None)
    exception(reply, "MissingAuthenticationTokenException")


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("DescribeStream", {"StreamName": 7}),
        ("DescribeStream", {"StreamName": ["name"]}),
        ("DescribeStream", {"StreamName": {}}),
        ("DescribeStream", {"StreamName": True}),
        ("DescribeStream", {"StreamName": "s", "Limit": "7"}),
        ("DescribeStream", {"StreamName": "s", "Limit": [7]}),
        ("PutRecords", {"StreamName": "s", "Records": {}}),
        ("PutRecords", {"StreamName": "s", "Records": "records"}),
        ("PutRecord", {"StreamName": "s", "PartitionKey": "k", "Data": 7}),
        ("PutRecord", {"StreamName": "s", "PartitionKey": "k", "Data": "====" }),
        ("PutRecord", {"StreamName": "s", "PartitionKey": "k", "Data": "abc" }),
        ("PutRecord", {"StreamName": "s", "PartitionKey": "k", "Data": "a$c=" }),
        ("AddTagsToStream", {"StreamName": "s", "Tags": ["tag"]}),
        ("AddTagsToStream", {"StreamName": "s", "Tags": {"key": 7}}),
        ("ListShards", {"StreamName": "s", "StreamCreationTimestamp": "now"}),
    ],
)
def test_a_wrong_type_is_told_before_wrong_values(operation, body):
    # The limit of 0 would be refused as well, and the stream is absent.
    reply = send(operation, {"Limit": 0, **body} if "Limit" not in body else body)
    exception(reply, "SerializationException")
    # The service spells this one with a capital letter.
    assert reply.json().keys() == {"__type", "Message"}
    assert reply.json()["Message"]


def test_wrong_values_are_told_before_what_they_name_is_looked_for():
    reply = send("DescribeStream", {**NAME, "Limit": 0, "ExclusiveStartShardId": "no id"})
    text = exception(reply, "ValidationException")
    head, _, faults = text.partition(": ")
    assert head == "2 validation errors detected"
    assert sorted(faults.split("; ")) == [
        "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than "
        "or equal to 1",
        "Value 'no id' at 'exclusiveStartShardId' failed to satisfy constraint: Member must "
        "satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
    ]


def test_what_is_required_is_told_as_null():
    reply = send("GetShardIterator", NAME)
    text = exception(reply, "ValidationException")
    head, _, faults = text.partition(": ")
    assert head == "2 validation errors detected"
    assert sorted(faults.split("; ")) == [
        "Value null at 'shardId' failed to satisfy constraint: Member must not be null",
        "Value null at 'shardIteratorType' failed to satisfy constraint: Member must not be null",
    ]


def test_ten_faults_are_told_at_most():
    records = [{"Data": "", "PartitionKey": ""}] * 12
    reply = send("PutRecords", {**NAME, "Records": records})
    text = exception(reply, "ValidationException")
    assert text.startswith("10 validation errors detected: ")
    assert text.count("failed to satisfy constraint") == 10


def test_members_that_are_unknown_or_null_are_ignored(stream):
    body = {
        "StreamName": stream.name,
        "Unknown": {"deep": [1, 2, {"deeper": None}]},
        "Limit": None,
        "ExclusiveStartShardId": None,
    }
    assert send("DescribeStream", body).status == 200


def test_strings_are_unescaped(stream):
    body = '{"StreamName":"%s","PartitionKey":"\\u00e9\\ud83d\\udca3\\n\\"","Data":"YQ=="}'
    assert send("PutRecord", (body % stream.name).encode()).status == 200
    [record] = stream.read()
    assert record["PartitionKey"] == 'é💣\n"'


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_carries_nothing_out(method):
    reply = send("ListStreams", method=method)
    assert reply.status in (403, 404, 405)


def test_a_browser_may_ask_from_anywhere():
    headers = {
        "Origin": "http://localhost:8080",
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "x-amz-target",
    }
    reply = send(None, b"", "OPTIONS", Authorization=None, **headers)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert reply.headers["Access-Control-Allow-Headers"] == "x-amz-target"
    reply = send("ListStreams", Origin="http://localhost:8080")
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == "*"


def test_a_body_of_16_mebibytes_is_read_and_a_larger_one_is_not():
    padding = {"Unknown": "x" * ((16 << 20) - 100)}
    assert send("ListStreams", padding).status == 200
    reply = send("ListStreams", {"Unknown": "x" * (16 << 20)})
    assert 400 <= reply.status < 500


def test_cbor_is_answered_in_cbor(stream):
    data = bytes(range(256))
    put = {"StreamName": stream.name, "Data": data, "PartitionKey": "é"}
    reply = send("PutRecord", cbor("PutRecord", put), Content_Type=CBOR)
    assert (reply.status, reply.headers["Content-Type"]) == (200, CBOR)
    number = reply.cbor()["SequenceNumber"]
    got = {"ShardIterator": stream.iterator()}
    page = send("GetRecords", cbor("GetRecords", got), Content_Type=CBOR).cbor()
    assert page["MillisBehindLatest"] == 0
    [record] = page["Records"]
    [same] = stream.read()
    assert record == same
    assert record == {
        "SequenceNumber": number,
        "Data": data,
        "PartitionKey": "é",
        "ApproximateArrivalTimestamp": record["ApproximateArrivalTimestamp"],
    }


def test_times_of_a_cbor_request_are_milliseconds(stream):
    stream.put(b"data")
    time = datetime.datetime(2015, 1, 1, tzinfo=datetime.timezone.utc)
    request = {
        "StreamName": stream.name,
        "ShardId": "0",
        "ShardIteratorType": "AT_TIMESTAMP",
        "Timestamp": time,
    }
    body = cbor("GetShardIterator", request)
    reply = send("GetShardIterator", body, Content_Type=CBOR)
    iterator = reply.cbor()["ShardIterator"]
    page = send("GetRecords", {"ShardIterator": iterator}).json()
    assert len(page["Records"]) == 1


def test_a_cbor_request_is_refused_in_cbor():
    reply = send("DescribeStream", cbor("DescribeStream", NAME), Content_Type=CBOR)
    assert (reply.status, reply.headers["Content-Type"]) == (400, CBOR)
    assert reply.cbor() == {
        "__type": "ResourceNotFoundException",
        "message": "Stream absent under account 000000000000 not found.",
    }
    for body in [b"", b"\xa1", b"\x80", b"\xff", b"\xbb" + b"\xff" * 8]:
        reply = send("DescribeStream", body, Content_Type=CBOR)
        assert reply.status == 400
        assert reply.cbor()["__type"] == "SerializationException"


def test_an_event_stream_is_made_of_frames_that_begin_with_the_initial_response(stream):
    consumer = stream.consumer()
    body = {
        "ConsumerARN": consumer["ConsumerARN"],
        "ShardId": "0",
        "StartingPosition": {"Type": "TRIM_HORIZON"},
    }
    stream.put(b"data")
    stream.kinesis.split_shard(
        StreamName=stream.name, ShardToSplit="0", NewStartingHashKey=str(2**127)
    )
    # The shard is closed, so the stream ends by itself.
    reply = send("SubscribeToShard", body)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/vnd.amazon.eventstream"
    assert reply.headers["Transfer-Encoding"] == "chunked"
    frames, rest = [], reply.body
    while rest:
        length = int.from_bytes(rest[:4], "big")
        frames.append(rest[:length])
        rest = rest[length:]
    first = frames[0]
    assert first[-6:-4] == b"{}"
    for name, value in [
        (b":message-type", b"event"),
        (b":event-type", b"initial-response"),
        (b":content-type", b"application/json"),
    ]:
        header = bytes([len(name)]) + name + b"\x07" + len(value).to_bytes(2, "big") + value
        assert header in first
    assert all(b"SubscribeToShardEvent" in frame for frame in frames[1:])
    assert b"ContinuationSequenceNumber" not in frames[-1]
    assert re.search(rb'"Data":"ZGF0YQ=="', b"".join(frames[1:]))


def test_the_target_is_that_of_the_model():
    assert PREFIX == model().metadata["targetPrefix"] + "."
