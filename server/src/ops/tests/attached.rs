//! Tags and policies of streams and consumers.

use std::collections::HashMap;

use super::*;

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
    "Principal": {"AWS": "123456789012"}, "Action": "kinesis:PutRecord"}}"#;

fn tags(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn pairs(tags: &[v1::Tag]) -> Vec<(&str, &str)> {
    tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect()
}

impl Fixture {
    async fn add_tags(&self, name: &str, tags: HashMap<String, String>) -> Result<()> {
        let stream_name = name.to_owned();
        let request = v1::AddTagsToStreamRequest { stream_name, tags, ..Default::default() };
        self.ops.add_tags_to_stream(request).await.map(|_| ())
    }

    async fn remove_tags(&self, name: &str, keys: &[&str]) -> Result<()> {
        let request = v1::RemoveTagsFromStreamRequest {
            stream_name: name.to_owned(),
            tag_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            ..Default::default()
        };
        self.ops.remove_tags_from_stream(request).await.map(|_| ())
    }

    fn list_tags(
        &self,
        name: &str,
        start: Option<&str>,
        limit: Option<u32>,
    ) -> Result<v1::ListTagsForStreamResponse> {
        self.ops.list_tags_for_stream(v1::ListTagsForStreamRequest {
            stream_name: name.to_owned(),
            exclusive_start_tag_key: start.map(str::to_owned),
            limit,
            ..Default::default()
        })
    }

    async fn tag(&self, arn: &str, tags: HashMap<String, String>) -> Result<()> {
        let request = v1::TagResourceRequest { resource_arn: arn.to_owned(), tags };
        self.ops.tag_resource(request).await.map(|_| ())
    }

    async fn untag(&self, arn: &str, keys: &[&str]) -> Result<()> {
        let tag_keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let request = v1::UntagResourceRequest { resource_arn: arn.to_owned(), tag_keys };
        self.ops.untag_resource(request).await.map(|_| ())
    }

    fn tags_of(&self, arn: &str) -> Result<Vec<v1::Tag>> {
        let request = v1::ListTagsForResourceRequest { resource_arn: arn.to_owned() };
        self.ops.list_tags_for_resource(request).map(|listed| listed.tags)
    }

    async fn put_policy(&self, arn: &str, policy: &str) -> Result<()> {
        let request = v1::PutResourcePolicyRequest {
            resource_arn: arn.to_owned(),
            policy: policy.to_owned(),
        };
        self.ops.put_resource_policy(request).await.map(|_| ())
    }

    fn policy_of(&self, arn: &str) -> Result<String> {
        let request = v1::GetResourcePolicyRequest { resource_arn: arn.to_owned() };
        self.ops.get_resource_policy(request).map(|given| given.policy)
    }

    async fn delete_policy(&self, arn: &str) -> Result<()> {
        let request = v1::DeleteResourcePolicyRequest { resource_arn: arn.to_owned() };
        self.ops.delete_resource_policy(request).await.map(|_| ())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_a_stream_are_added_overwritten_listed_and_removed() {
    let mut fixture = Fixture::with_stream("orders", 1).await;
    fixture.add_tags("orders", tags(&[("b", "1"), ("a", ""), ("c", "3")])).await.unwrap();
    fixture.add_tags("orders", tags(&[("b", "2")])).await.unwrap();
    let listed = fixture.list_tags("orders", None, None).unwrap();
    assert_eq!(pairs(&listed.tags), [("a", ""), ("b", "2"), ("c", "3")]);
    assert!(!listed.has_more_tags);
    let page = fixture.list_tags("orders", Some("a"), Some(1)).unwrap();
    assert_eq!((pairs(&page.tags), page.has_more_tags), (vec![("b", "2")], true));
    let page = fixture.list_tags("orders", Some("b"), Some(1)).unwrap();
    assert_eq!((pairs(&page.tags), page.has_more_tags), (vec![("c", "3")], false));

    fixture.remove_tags("orders", &["a", "unknown"]).await.unwrap();
    // Both ways lead to the same tags, and they outlive the server.
    assert_eq!(pairs(&fixture.tags_of(ARN).unwrap()), [("b", "2"), ("c", "3")]);
    fixture.engine.shut_down().unwrap();
    fixture.reopen();
    assert_eq!(pairs(&fixture.tags_of(ARN).unwrap()), [("b", "2"), ("c", "3")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_a_consumer_are_its_own() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let request = v1::RegisterStreamConsumerRequest {
        stream_name: "orders".to_owned(),
        consumer_name: "analytics".to_owned(),
        tags: tags(&[("team", "data")]),
        ..Default::default()
    };
    let registered = fixture.ops.register_stream_consumer(request).await.unwrap();
    let arn = registered.consumer.unwrap().consumer_arn;
    fixture.tag(&arn, tags(&[("stage", "test")])).await.unwrap();
    assert_eq!(pairs(&fixture.tags_of(&arn).unwrap()), [("stage", "test"), ("team", "data")]);
    fixture.untag(&arn, &["team"]).await.unwrap();
    assert_eq!(pairs(&fixture.tags_of(&arn).unwrap()), [("stage", "test")]);
    assert!(fixture.tags_of(ARN).unwrap().is_empty());

    fixture.tag(ARN, tags(&[("k", "v")])).await.unwrap();
    assert_eq!(pairs(&fixture.list_tags("orders", None, None).unwrap().tags), [("k", "v")]);
    fixture.untag(ARN, &["k"]).await.unwrap();
    assert!(fixture.tags_of(ARN).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_tags_are_refused_and_the_fifty_first_too() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let key = |key: &str| tags(&[(key, "v")]);
    for bad in [tags(&[]), key(""), key("aws:x"), key("a%"), tags(&[("k", &"v".repeat(257))])] {
        assert_eq!(field(fixture.add_tags("orders", bad.clone()).await), "tags");
        assert_eq!(field(fixture.tag(ARN, bad).await), "tags");
    }
    let told = message(fixture.add_tags("orders", key("a,b")).await);
    assert!(told.starts_with("Some tags contain invalid characters."), "{told}");
    for bad in [&[][..], &[""][..], &["k"; 51][..]] {
        assert_eq!(field(fixture.remove_tags("orders", bad).await), "tag_keys");
        assert_eq!(field(fixture.untag(ARN, bad).await), "tag_keys");
    }
    let fifty: HashMap<_, _> = (0..50).map(|key| (key.to_string(), String::new())).collect();
    fixture.add_tags("orders", fifty.clone()).await.unwrap();
    fixture.add_tags("orders", fifty.clone()).await.unwrap();
    assert_eq!(field(fixture.add_tags("orders", key("one more")).await), "tags");
    assert_eq!(field(fixture.tag(ARN, key("one more")).await), "tags");
    assert_eq!(fixture.tags_of(ARN).unwrap().len(), 50);
    for limit in [0, 51] {
        assert_eq!(field(fixture.list_tags("orders", None, Some(limit))), "limit");
    }

    let mut too_many = fifty;
    too_many.insert("one more".to_owned(), String::new());
    let create = v1::CreateStreamRequest {
        stream_name: "others".to_owned(),
        tags: too_many.clone(),
        ..Default::default()
    };
    assert_eq!(field(fixture.ops.create_stream(create).await), "tags");
    let register = v1::RegisterStreamConsumerRequest {
        stream_name: "orders".to_owned(),
        consumer_name: "analytics".to_owned(),
        tags: too_many,
        ..Default::default()
    };
    assert_eq!(field(fixture.ops.register_stream_consumer(register).await), "tags");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_attached_needs_something_to_be_attached_to() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let some = || tags(&[("k", "v")]);
    assert_eq!(kind(fixture.add_tags("others", some()).await), Kind::ResourceNotFound);
    assert_eq!(kind(fixture.remove_tags("others", &["k"]).await), Kind::ResourceNotFound);
    assert_eq!(kind(fixture.list_tags("others", None, None)), Kind::ResourceNotFound);
    let stream = ARN.replace("orders", "others");
    let consumer = format!("{ARN}/consumer/nobody:1700000000");
    for arn in [&stream, &consumer] {
        assert_eq!(kind(fixture.tag(arn, some()).await), Kind::ResourceNotFound);
        assert_eq!(kind(fixture.untag(arn, &["k"]).await), Kind::ResourceNotFound);
        assert_eq!(kind(fixture.tags_of(arn)), Kind::ResourceNotFound);
        assert_eq!(kind(fixture.put_policy(arn, POLICY).await), Kind::ResourceNotFound);
        assert_eq!(kind(fixture.policy_of(arn)), Kind::ResourceNotFound);
        assert_eq!(kind(fixture.delete_policy(arn).await), Kind::ResourceNotFound);
    }
    for bad in ["", "orders", "arn:aws:s3:::bucket", &ARN.replace("stream/", "queue/")] {
        assert_eq!(field(fixture.tag(bad, some()).await), "resource_arn");
        assert_eq!(field(fixture.untag(bad, &["k"]).await), "resource_arn");
        assert_eq!(field(fixture.tags_of(bad)), "resource_arn");
        assert_eq!(field(fixture.put_policy(bad, POLICY).await), "resource_arn");
        assert_eq!(field(fixture.policy_of(bad)), "resource_arn");
        assert_eq!(field(fixture.delete_policy(bad).await), "resource_arn");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_given_back_as_they_were_put() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let consumer = fixture.register("orders", "analytics").await.consumer_arn;
    for arn in [ARN, &consumer] {
        assert_eq!(fixture.policy_of(arn).unwrap(), "{}");
        fixture.put_policy(arn, POLICY).await.unwrap();
        assert_eq!(fixture.policy_of(arn).unwrap(), POLICY);
        let other = POLICY.replace("Allow", "Deny");
        fixture.put_policy(arn, &other).await.unwrap();
        assert_eq!(fixture.policy_of(arn).unwrap(), other);
        assert_eq!(field(fixture.put_policy(arn, "{}").await), "policy");
        let long = format!("{POLICY}{}", " ".repeat(20 << 10));
        assert_eq!(kind(fixture.put_policy(arn, &long).await), Kind::LimitExceeded);
        assert_eq!(fixture.policy_of(arn).unwrap(), other);
        fixture.delete_policy(arn).await.unwrap();
        fixture.delete_policy(arn).await.unwrap();
        assert_eq!(fixture.policy_of(arn).unwrap(), "{}");
    }
}
