"""Shard iterators: the five types, their numbers and times, their form."""

import base64
import datetime

import pytest

from world import make_stream, refused

FIRST = "shardId-000000000000"
EITHER_OR = (
    "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and "
    "StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. "
    "Request specified"
)


@pytest.fixture
def numbers(stream):
    """The numbers of five records of the stream."""
    return [stream.put(b"%d" % index)["SequenceNumber"] for index in range(5)]


def read(stream, kind, **options):
    return [int(record["Data"]) for record in stream.read(FIRST, kind, **options)]


@pytest.mark.operation("GetShardIterator")
def test_reading_starts_at_the_horizon_or_at_a_number_or_after_it(stream, numbers):
    assert read(stream, "TRIM_HORIZON") == [0, 1, 2, 3, 4]
    for index, number in enumerate(numbers):
        at = read(stream, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number)
        after = read(stream, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number)
        assert at == list(range(index, 5))
        assert after == list(range(index + 1, 5))


@pytest.mark.operation("GetShardIterator")
@pytest.mark.parametrize("kind", ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"])
def test_the_start_of_a_shard_is_a_number_to_read_from(stream, numbers, kind):
    start = stream.shards()[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    assert read(stream, kind, StartingSequenceNumber=start) == [0, 1, 2, 3, 4]


@pytest.mark.operation("GetShardIterator", "GetRecords")
def test_latest_is_fixed_when_the_iterator_is_given(kinesis, stream, numbers):
    iterator = stream.iterator(FIRST, "LATEST")
    stream.put(b"5")
    stream.put(b"6")
    page = kinesis.get_records(ShardIterator=iterator)
    assert [record["Data"] for record in page["Records"]] == [b"5", b"6"]


@pytest.mark.operation("GetShardIterator")
def test_reading_starts_at_a_time(stream, numbers):
    records = stream.read()
    times = [record["ApproximateArrivalTimestamp"] for record in records]
    long_ago = datetime.datetime(2015, 1, 1, tzinfo=datetime.timezone.utc)
    assert read(stream, "AT_TIMESTAMP", Timestamp=long_ago) == [0, 1, 2, 3, 4]
    for time in times:
        first = next(index for index, other in enumerate(times) if other >= time)
        assert read(stream, "AT_TIMESTAMP", Timestamp=time) == list(range(first, 5))
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(milliseconds=1)
    if now > times[-1]:
        assert read(stream, "AT_TIMESTAMP", Timestamp=now) == []


@pytest.mark.operation("GetShardIterator", "GetRecords")
def test_a_time_is_good_on_an_empty_shard(stream):
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    assert stream.read(FIRST, "AT_TIMESTAMP", Timestamp=now) == []


def test_a_time_in_the_future_is_told_in_the_words_of_the_service(stream):
    future = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)
    with refused("InvalidArgumentException") as caught:
        stream.iterator(FIRST, "AT_TIMESTAMP", Timestamp=future)
    text = caught.value.response["Error"]["Message"]
    assert text.startswith(
        "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
        "timestampInMillis: 4102444800000, currentTimestampInMillis: "
    )


def test_a_time_has_to_be_given(stream):
    with refused("InvalidArgumentException") as caught:
        stream.iterator(FIRST, "AT_TIMESTAMP")
    assert caught.value.response["Error"]["Message"].startswith(
        "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP"
    )


@pytest.mark.parametrize("kind", ["TRIM_HORIZON", "LATEST"])
def test_a_number_too_many_is_told_in_the_words_of_the_service(stream, numbers, kind):
    text = f"{EITHER_OR} {kind} and also a StartingSequenceNumber."
    with refused("InvalidArgumentException", text):
        stream.iterator(FIRST, kind, StartingSequenceNumber=numbers[0])


@pytest.mark.parametrize("kind", ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"])
def test_a_missing_number_is_told_in_the_words_of_the_service(stream, kind):
    text = f"{EITHER_OR} {kind} and no StartingSequenceNumber."
    with refused("InvalidArgumentException", text):
        stream.iterator(FIRST, kind)


def test_a_number_of_another_shard_is_refused(wide):
    number = wide.put(b"", ExplicitHashKey="0")["SequenceNumber"]
    text = (
        "Invalid StartingSequenceNumber. It encodes shardId-000000000000, while it was used in "
        "a call to a shard with shardId-000000000001"
    )
    with refused("InvalidArgumentException", text):
        wide.iterator(
            "shardId-000000000001", "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number
        )


def test_a_number_of_an_earlier_stream_of_the_name_is_refused(kinesis, stream, numbers):
    former = numbers[0]
    # The shards of two streams that were made in the same second have the same numbers.
    second = int(stream.described()["StreamCreationTimestamp"].timestamp())
    while True:
        kinesis.delete_stream(StreamName=stream.name)
        again = make_stream(kinesis, name=stream.name)
        if int(again.described()["StreamCreationTimestamp"].timestamp()) > second + 1:
            break
    with refused("InvalidArgumentException") as caught:
        again.iterator(FIRST, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=former)
    text = caught.value.response["Error"]["Message"]
    assert text.endswith("is invalid because it did not come from this stream.")
    assert former in text


@pytest.mark.parametrize("number", ["4" + "9" * 54, "9" * 56])
def test_what_is_no_number_of_a_record_is_invalid(stream, number):
    with refused("InvalidArgumentException") as caught:
        stream.iterator(FIRST, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number)
    text = caught.value.response["Error"]["Message"]
    assert number in text
    assert "is invalid" in text


@pytest.mark.parametrize("number", ["", "01", "-1", "x", "1" * 130])
def test_what_is_no_number_is_told_in_the_words_of_the_service(stream, number):
    text = (
        f"1 validation error detected: Value '{number}' at 'startingSequenceNumber' failed to "
        r"satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\d{0,128})"
    )
    with refused("ValidationException", text):
        stream.iterator(FIRST, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number)


def test_an_unknown_type_is_told_in_the_words_of_the_service(stream):
    with refused("ValidationException") as caught:
        stream.iterator(FIRST, "EARLIEST")
    text = caught.value.response["Error"]["Message"]
    head = (
        "1 validation error detected: Value 'EARLIEST' at 'shardIteratorType' failed to satisfy "
        "constraint: Member must satisfy enum value set: ["
    )
    assert text.startswith(head) and text.endswith("]")
    assert sorted(text.removeprefix(head).removesuffix("]").split(", ")) == [
        "AFTER_SEQUENCE_NUMBER",
        "AT_SEQUENCE_NUMBER",
        "AT_TIMESTAMP",
        "LATEST",
        "TRIM_HORIZON",
    ]


@pytest.mark.operation("GetShardIterator")
def test_an_iterator_has_the_form_of_the_service(kinesis):
    for name in ["i", "i" * 128]:
        stream = make_stream(kinesis, name=name)
        iterator = stream.iterator()
        assert len(iterator) <= 512
        decoded = base64.b64decode(iterator, validate=True)
        assert decoded[:8] == bytes(7) + b"\x01"
        assert (len(decoded) - 8) % 16 == 0
        assert 152 <= len(decoded) <= 280


@pytest.mark.operation("GetRecords")
def test_every_page_has_an_iterator_of_its_own(kinesis, stream):
    iterators = [stream.iterator(FIRST, "LATEST")]
    for _ in range(3):
        page = kinesis.get_records(ShardIterator=iterators[-1])
        iterators.append(page["NextShardIterator"])
    assert len(set(iterators)) == 4


@pytest.mark.operation("GetRecords")
def test_an_iterator_in_quotes_is_taken(kinesis, stream, numbers):
    page = kinesis.get_records(ShardIterator=f'"{stream.iterator()}"')
    assert len(page["Records"]) == 5


@pytest.mark.parametrize(
    "iterator", ["malformed", "AAAAAAAAAAE=", "=" * 100, "AAAAAAAAAAE" + "A" * 200, "\u00e4"]
)
def test_a_malformed_iterator_is_told_in_the_words_of_the_service(kinesis, iterator):
    with refused("InvalidArgumentException", "Invalid ShardIterator."):
        kinesis.get_records(ShardIterator=iterator)


def test_an_iterator_with_one_letter_changed_is_invalid(kinesis, stream):
    iterator = stream.iterator()
    for index in [20, len(iterator) // 2, len(iterator) - 10]:
        letter = "A" if iterator[index] != "A" else "B"
        forged = iterator[:index] + letter + iterator[index + 1 :]
        with refused("InvalidArgumentException", "Invalid ShardIterator."):
            kinesis.get_records(ShardIterator=forged)


def test_an_iterator_has_at_most_512_characters(kinesis):
    for iterator, bound in [("", "greater than or equal to 1"), ("A" * 513, "less than or equal to 512")]:
        text = (
            f"1 validation error detected: Value '{iterator}' at 'shardIterator' failed to "
            f"satisfy constraint: Member must have length {bound}"
        )
        with refused("ValidationException", text):
            kinesis.get_records(ShardIterator=iterator)


def test_an_iterator_of_one_stream_does_not_read_another(kinesis, stream):
    other = make_stream(kinesis)
    with refused("InvalidArgumentException"):
        kinesis.get_records(ShardIterator=stream.iterator(), StreamARN=other.arn)
