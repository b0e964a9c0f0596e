"""Writes botocore.json: requests signed by botocore, which `oracle.rs` verifies.

    pip install botocore==1.43.11
    python server/src/aws/sigv4/tests/sign.py

The clock is held, so the same version writes the same file.
"""

import datetime
import json
import pathlib

import botocore
import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime.datetime(2026, 3, 1, 9, 30, 15)
HOST = "127.0.0.1:4567"
TARGET = "Kinesis_20131202.PutRecord"


class Held(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return NOW

    @classmethod
    def now(cls, tz=None):
        return NOW.replace(tzinfo=datetime.timezone.utc) if tz else NOW


def hold_the_clock():
    if hasattr(botocore.auth, "get_current_datetime"):
        botocore.auth.get_current_datetime = lambda *_, **__: NOW
    if hasattr(botocore.auth, "datetime"):
        botocore.auth.datetime = Held


def told(name, method, url, headers, body):
    body = body.encode() if isinstance(body, str) else body or b""
    target = url.split(HOST, 1)[1]
    path, _, query = target.partition("?")
    text = lambda value: value.decode() if isinstance(value, bytes) else str(value)
    return {
        "name": name,
        "method": method,
        "path": path or "/",
        "query": query,
        "headers": [[key, text(value)] for key, value in headers],
        "body_hex": body.hex(),
    }


def signed(name, method="POST", target="/", headers=(), body=b"{}", region="us-east-1", expires=None):
    request = AWSRequest(method=method, url=f"http://{HOST}{target}", data=body)
    request.headers["Host"] = HOST
    for key, value in headers:
        request.headers.add_header(key, value)
    credentials = Credentials(ACCESS_KEY, SECRET)
    if expires is None:
        signer = botocore.auth.SigV4Auth(credentials, "kinesis", region)
    else:
        signer = botocore.auth.SigV4QueryAuth(credentials, "kinesis", region, expires=expires)
    signer.add_auth(request)
    return told(name, method, request.url, request.headers.items(), request.data)


def called(operation, **arguments):
    """What the client of the service sends."""
    session = botocore.session.Session()
    client = session.create_client(
        "kinesis",
        region_name="eu-central-1",
        endpoint_url=f"http://{HOST}",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET,
    )
    seen = []

    class Stop(Exception):
        pass

    def stop(request, **_):
        seen.append(request)
        raise Stop

    client.meta.events.register("before-send.kinesis", stop)
    try:
        getattr(client, operation)(**arguments)
    except Stop:
        pass
    request = seen[0]
    # urllib3 adds it from the address.
    headers = [("Host", HOST), *request.headers.items()]
    # They are others in each run, and not signed.
    others = ("user-agent", "amz-sdk-invocation-id", "amz-sdk-request")
    headers = [(key, value) for key, value in headers if key.lower() not in others]
    return told(f"client {operation}", request.method, request.url, headers, request.body)


def main():
    hold_the_clock()
    amz = [("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", TARGET)]
    requests = [
        signed("plain", headers=amz, body=b'{"StreamName":"a"}'),
        signed("no body", headers=amz, body=b""),
        signed("any bytes as body", headers=amz, body=bytes(range(256))),
        signed("another region", headers=amz, region="eu-west-1"),
        signed("spaces in headers", headers=[*amz, ("X-Amz-Meta", "  a   b  c ")]),
        signed("header that is not ASCII", headers=[*amz, ("X-Amz-Meta", "größe  東京")]),
        signed("empty header", headers=[*amz, ("X-Amz-Meta", "")]),
        signed("header twice", headers=[*amz, ("My-Header", "b"), ("My-Header", "a  c")]),
        signed("unsigned headers", headers=[*amz, ("User-Agent", "x"), ("Expect", "100-continue")]),
        signed("hash of the body in a header", headers=[
            *amz,
            ("X-Amz-Content-SHA256", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        ]),
        called("put_record", StreamName="orders", Data=b"\x00\xff", PartitionKey="k"),
        called("put_records", StreamName="o", Records=[{"Data": b"1", "PartitionKey": "ü"}] * 3),
        called("list_streams", Limit=10),
        called("get_records", ShardIterator="AAAA"),
        called(
            "subscribe_to_shard",
            ConsumerARN="arn:aws:kinesis:us-east-1:123456789012:stream/a/consumer/c:1",
            ShardId="shardId-000000000000",
            StartingPosition={"Type": "LATEST"},
        ),
    ]
    for path in [
        "", "/a", "/a/", "/a/b/../c", "/a/./b/.", "/..", "/../a", "//", "//a//b//", "/a%20b",
        "/%C3%BC", "/%c3%bc", "/a%2Fb", "/a+b", "/~a-b_c.d", "/a:b@c!$&'()*,;=", "/2015-03-31/x%3A1",
    ]:
        requests.append(signed(f"path {path}", target=path, headers=amz))
    for query in [
        "a=b", "b=2&a=1", "a=2&a=1&a=", "a", "a=", "a=b%20c", "%C3%BC=%E6%9D%B1", "a=%2B", "a=%2F%3D%26",
        "A=1&a=2", "a-_.~=-_.~", "Action=ListStreams&Version=2013-12-02", "aa=1&a=2", "a.=1&a-=2",
    ]:
        requests.append(signed(f"query {query}", target=f"/?{query}", headers=amz))
    for query, expires in [("", 1), ("", 604800), ("?a=b&Z=%20", 60), ("?X-Amz-Meta=1", 300)]:
        for method in ["GET", "POST"]:
            requests.append(signed(
                f"presigned {method} {query} for {expires} s",
                method=method, target=f"/{query}", body=b"", expires=expires,
            ))
    requests.append(signed("presigned with a path", "GET", "/a%20b//c", body=b"", expires=60))
    out = {
        "botocore": botocore.__version__,
        "access_key": ACCESS_KEY,
        "secret": SECRET,
        "now_ms": int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp()) * 1000,
        "requests": requests,
    }
    path = pathlib.Path(__file__).with_name("botocore.json")
    # A request a line.
    lines = [json.dumps(request, ensure_ascii=False) for request in out.pop("requests")]
    head = json.dumps(out)[:-1]
    path.write_text(head + ', "requests": [\n' + ",\n".join(lines) + "\n]}\n")


main()
