"""Requests below the SDK: every byte and header is the test's own."""

import dataclasses
import datetime
import http.client
import json
import urllib.parse

from botocore.parsers import RpcV2CBORParser
from botocore.serialize import CBORSerializer

from operations import model
from world import REGION, endpoint

JSON = "application/x-amz-json-1.1"
CBOR = "application/x-amz-cbor-1.1"
PREFIX = "Kinesis_20131202."


def amz_date():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def credential():
    return f"anabranch/{amz_date()[:8]}/{REGION}/kinesis/aws4_request"


def authorization():
    """A signature that is well-formed and nothing more."""
    return (
        f"AWS4-HMAC-SHA256 Credential={credential()}, "
        f"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={'0' * 64}"
    )


def signed_query(**without):
    """The same as the query of a presigned request."""
    parts = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": credential(),
        "X-Amz-Date": amz_date(),
        "X-Amz-Expires": "300",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "0" * 64,
    }
    for name in without.get("without", ()):
        del parts[name]
    return "/?" + urllib.parse.urlencode(parts)


@dataclasses.dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)

    def cbor(self):
        parser = _Parser()
        return parser.parse_data_item(parser.get_peekable_stream_from_bytes(self.body))


def send(operation=None, body=b"{}", method="POST", path="/", **headers):
    """Sends a request. A header is left out where its value is None."""
    sent = {
        "Content-Type": JSON,
        "X-Amz-Date": amz_date(),
        "Authorization": authorization(),
    }
    if operation is not None:
        sent["X-Amz-Target"] = PREFIX + operation
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in sent.items() if value is not None}
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    address = urllib.parse.urlsplit(endpoint()).netloc
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


class _Parser(RpcV2CBORParser):
    """The SDK's own parser, told that a timestamp is a number of milliseconds."""

    def _parse_datetime(self, value):
        assert isinstance(value, int), f"a timestamp of type {type(value)}"
        return datetime.datetime.fromtimestamp(value / 1000, datetime.timezone.utc)


class _Serializer(CBORSerializer):
    """The SDK's own serializer, and timestamps as the SDKs for Java write them."""

    def _serialize_type_timestamp(self, serialized, value, shape, key):
        serialized.extend(b"\xc1")
        self._serialize_type_integer(serialized, int(value.timestamp() * 1000), shape, key)


def cbor(operation, request):
    """A request of that operation."""
    serialized = bytearray()
    shape = model().operation_model(operation).input_shape
    _Serializer()._serialize_data_item(serialized, request, shape)
    return bytes(serialized)
