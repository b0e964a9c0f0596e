"""Writes event_stream.txt: frames of an event stream in hexadecimal, made from the description of
their layout. Each is read by botocore first, which must find in it what was put there.

    python3 event_stream.py > event_stream.txt
"""

import struct
import zlib

from botocore.eventstream import EventStreamBuffer


def frame(headers, payload):
    encoded = b"".join(
        struct.pack("!B", len(name)) + name + struct.pack("!BH", 7, len(value)) + value
        for name, value in ((name.encode(), value.encode()) for name, value in headers.items())
    )
    total = 12 + len(encoded) + len(payload) + 4
    prelude = struct.pack("!II", total, len(encoded))
    whole = prelude + struct.pack("!I", zlib.crc32(prelude)) + encoded + payload
    return whole + struct.pack("!I", zlib.crc32(whole))


def shown_to_botocore(headers, payload):
    whole = frame(headers, payload)
    buffer = EventStreamBuffer()
    # In two parts, as a connection may bring it.
    buffer.add_data(whole[:7])
    buffer.add_data(whole[7:])
    (read,) = list(buffer)
    assert read.headers == headers and read.payload == payload, read
    return whole.hex()


JSON = "application/json"
frames = {
    "initial-response": (
        {":message-type": "event", ":event-type": "initial-response", ":content-type": JSON},
        b"{}",
    ),
    "event": (
        {":message-type": "event", ":event-type": "SubscribeToShardEvent", ":content-type": JSON},
        b'{"Records":[],"MillisBehindLatest":0}',
    ),
    "exception": (
        {
            ":message-type": "exception",
            ":exception-type": "ResourceInUseException",
            ":content-type": JSON,
        },
        '{"message":"ä"}'.encode(),
    ),
    "empty": ({}, b""),
}
for name, (headers, payload) in frames.items():
    print(name, shown_to_botocore(headers, payload))
