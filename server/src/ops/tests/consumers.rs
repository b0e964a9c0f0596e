//! Consumers, registered and listed.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn consumers_are_found_by_name_and_by_arn_until_they_are_registered_anew() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let ops = &fixture.ops;
    let consumer = fixture.register("orders", "analytics").await;
    let by_arn = || v1::DescribeStreamConsumerRequest {
        // Another account and region resolve by name.
        consumer_arn: consumer.consumer_arn.replace("us-east-1:000000000000", "eu:123456789012"),
        ..Default::default()
    };
    let described = ops.describe_stream_consumer(by_arn()).unwrap();
    assert_eq!(described.consumer_description.as_ref(), Some(&consumer));
    let both =
        v1::DescribeStreamConsumerRequest { consumer_name: "analytics".to_owned(), ..by_arn() };
    assert!(ops.describe_stream_consumer(both).is_ok());
    let other =
        v1::DescribeStreamConsumerRequest { consumer_name: "reports".to_owned(), ..by_arn() };
    assert_eq!(field(ops.describe_stream_consumer(other)), "consumer_arn");

    let again = v1::RegisterStreamConsumerRequest {
        stream_arn: consumer.stream_arn.clone(),
        consumer_name: "analytics".to_owned(),
        ..Default::default()
    };
    let taken = ops.register_stream_consumer(again).await;
    assert_eq!(kind(taken), Kind::AlreadyExists);
    let delete = v1::DeleteStreamRequest { stream_name: "orders".to_owned(), ..Default::default() };
    assert_eq!(kind(ops.delete_stream(delete).await), Kind::ResourceInUse);

    let deregister = v1::DeregisterStreamConsumerRequest {
        consumer_arn: consumer.consumer_arn.clone(),
        ..Default::default()
    };
    ops.deregister_stream_consumer(deregister).await.unwrap();
    fixture.clock.advance(Duration::from_secs(1));
    fixture.register("orders", "analytics").await;
    assert_eq!(kind(ops.describe_stream_consumer(by_arn())), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_are_listed_page_by_page() {
    let fixture = Fixture::with_stream("orders", 1).await;
    for name in ["c", "a", "b"] {
        fixture.register("orders", name).await;
    }
    let list = |next_token| {
        let request = v1::ListStreamConsumersRequest {
            stream_name: "orders".to_owned(),
            max_results: Some(2),
            next_token,
            ..Default::default()
        };
        let listed = fixture.ops.list_stream_consumers(request).unwrap();
        let names = listed.consumers.into_iter().map(|consumer| consumer.consumer_name);
        (names.collect::<Vec<_>>(), listed.next_token)
    };
    let (names, token) = list(None);
    assert_eq!(names, ["a", "b"]);
    assert_eq!(list(token.clone()), (vec!["c".to_owned()], None));

    fixture.create("others", 1).await;
    let list = |stream_name: &str, next_token| {
        fixture.ops.list_stream_consumers(v1::ListStreamConsumersRequest {
            stream_name: stream_name.to_owned(),
            next_token,
            ..Default::default()
        })
    };
    assert_eq!(field(list("others", token.clone())), "next_token");
    assert_eq!(field(list("orders", Some("AAAA".to_owned()))), "next_token");
    assert_eq!(field(list("", None)), "stream_name");
    assert_eq!(list("", token.clone()).unwrap().consumers.len(), 1);
    fixture.clock.advance(Duration::from_secs(301));
    assert_eq!(kind(list("orders", token)), Kind::ExpiredNextToken);
}
