"""Tags of streams and consumers, by either family of operations."""

import pytest

from world import refused

TOO_MANY = (
    "Failed to add tags because a given resource cannot have more than 50 tags associated with it."
)
BAD_CHARACTER = (
    "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white "
    "space, _ . / = + - % @ :."
)


def listed(kinesis, arn):
    tags = kinesis.list_tags_for_resource(ResourceARN=arn)["Tags"]
    return {tag["Key"]: tag["Value"] for tag in tags}


@pytest.mark.operation("AddTagsToStream", "ListTagsForStream", "RemoveTagsFromStream")
def test_tags_are_added_overwritten_and_removed(kinesis, stream):
    reply = kinesis.add_tags_to_stream(StreamName=stream.name, Tags={"b": "1", "a": "é _./=+-@:"})
    assert reply.keys() == {"ResponseMetadata"}
    kinesis.add_tags_to_stream(StreamARN=stream.arn, Tags={"b": "", "c": "3"})
    reply = kinesis.list_tags_for_stream(StreamName=stream.name)
    assert reply["Tags"] == [
        {"Key": "a", "Value": "é _./=+-@:"},
        {"Key": "b", "Value": ""},
        {"Key": "c", "Value": "3"},
    ]
    assert reply["HasMoreTags"] is False
    reply = kinesis.remove_tags_from_stream(StreamName=stream.name, TagKeys=["a", "c", "absent"])
    assert reply.keys() == {"ResponseMetadata"}
    assert listed(kinesis, stream.arn) == {"b": ""}


@pytest.mark.operation("ListTagsForStream")
def test_tags_are_listed_page_by_page(kinesis, stream):
    tags = {f"key-{index:02}": str(index) for index in range(50)}
    kinesis.add_tags_to_stream(StreamName=stream.name, Tags=tags)
    page = kinesis.list_tags_for_stream(StreamName=stream.name, Limit=20)
    keys = [tag["Key"] for tag in page["Tags"]]
    while page["HasMoreTags"]:
        page = kinesis.list_tags_for_stream(
            StreamName=stream.name, Limit=20, ExclusiveStartTagKey=keys[-1]
        )
        keys += [tag["Key"] for tag in page["Tags"]]
    assert keys == list(tags)


@pytest.mark.operation("TagResource", "UntagResource", "ListTagsForResource")
@pytest.mark.parametrize("kind", ["stream", "consumer"])
def test_resources_are_tagged_and_untagged(kinesis, stream, kind):
    arn = stream.arn if kind == "stream" else stream.consumer()["ConsumerARN"]
    assert listed(kinesis, arn) == {}
    assert kinesis.tag_resource(ResourceARN=arn, Tags={"a": "1", "b": "2"}).keys() == {
        "ResponseMetadata"
    }
    assert listed(kinesis, arn) == {"a": "1", "b": "2"}
    kinesis.untag_resource(ResourceARN=arn, TagKeys=["a"])
    assert listed(kinesis, arn) == {"b": "2"}


def test_a_resource_has_at_most_50_tags(kinesis, stream):
    tags = {str(key): "" for key in range(50)}
    kinesis.add_tags_to_stream(StreamName=stream.name, Tags=tags)
    with refused("InvalidArgumentException", TOO_MANY):
        kinesis.tag_resource(ResourceARN=stream.arn, Tags={"one more": ""})
    assert listed(kinesis, stream.arn) == tags


@pytest.mark.parametrize("tags", [{"a%": ""}, {"a": "b,c"}, {"a": "!"}])
def test_some_characters_are_none_of_a_tag(kinesis, stream, tags):
    with refused("InvalidArgumentException", BAD_CHARACTER):
        kinesis.add_tags_to_stream(StreamName=stream.name, Tags=tags)


@pytest.mark.parametrize("count", [0, 201])
def test_1_to_200_tags_are_added_at_a_time(kinesis, stream, count):
    with refused("ValidationException") as caught:
        tags = {str(key): "" for key in range(count)}
        kinesis.add_tags_to_stream(StreamName=stream.name, Tags=tags)
    text = caught.value.response["Error"]["Message"]
    assert "at 'tags' failed to satisfy constraint: Member must have length" in text


@pytest.mark.parametrize("keys", [[], ["k"] * 51])
def test_1_to_50_tags_are_removed_at_a_time(kinesis, stream, keys):
    with refused("ValidationException") as caught:
        kinesis.remove_tags_from_stream(StreamName=stream.name, TagKeys=keys)
    text = caught.value.response["Error"]["Message"]
    assert "at 'tagKeys' failed to satisfy constraint: Member must have length" in text
