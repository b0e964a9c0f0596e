//! Amazon resource names of streams and consumers.
//!
//! ```text
//! arn:aws:kinesis:us-east-1:000000000000:stream/NAME
//! arn:aws:kinesis:us-east-1:000000000000:stream/NAME/consumer/NAME:CREATED_SECONDS
//! ```
//!
//! They are written with the server's own account and region, and read with any: an ARN
//! resolves by the names in it, and never selects a namespace. Partitions such as `aws-cn` are
//! read as the API model allows them (`arn:aws.*`).

use std::fmt;

use anabranch_engine::ids::{ConsumerName, StreamName};

/// Bytes of an ARN at most (API model: 2048).
pub const ARN_BYTES_MAX: usize = 2048;

/// The account and region that a server writes into the ARNs it gives out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Twelve digits.
    pub account: String,
    /// For example `us-east-1`.
    pub region: String,
}

impl Owner {
    /// The ARN of a stream.
    pub fn stream_arn(&self, stream: &StreamName) -> String {
        let Owner { account, region } = self;
        format!("arn:aws:kinesis:{region}:{account}:stream/{stream}")
    }

    /// The ARN of a consumer. The time of its registration, in seconds since 1970, tells it
    /// from a later consumer of the same name.
    pub fn consumer_arn(
        &self,
        stream: &StreamName,
        consumer: &ConsumerName,
        created_seconds: u64,
    ) -> String {
        let stream = self.stream_arn(stream);
        format!("{stream}/consumer/{consumer}:{created_seconds}")
    }
}

impl Default for Owner {
    fn default() -> Self {
        Owner { account: "000000000000".to_owned(), region: "us-east-1".to_owned() }
    }
}

/// A consumer as its ARN names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerArn {
    /// The stream.
    pub stream: StreamName,
    /// The consumer.
    pub consumer: ConsumerName,
    /// When it was registered, seconds since 1970.
    pub created_seconds: u64,
}

/// Text that is not the ARN it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAnArn;

impl fmt::Display for NotAnArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an ARN such as arn:aws:kinesis:us-east-1:000000000000:stream/NAME")
    }
}

/// The stream that `text` names.
pub fn parse_stream(text: &str) -> Result<StreamName, NotAnArn> {
    let name = resource(text)?.strip_prefix("stream/").ok_or(NotAnArn)?;
    name.parse().map_err(|_| NotAnArn)
}

/// The consumer that `text` names.
pub fn parse_consumer(text: &str) -> Result<ConsumerArn, NotAnArn> {
    let names = resource(text)?.strip_prefix("stream/").ok_or(NotAnArn)?;
    let (stream, consumer) = names.split_once("/consumer/").ok_or(NotAnArn)?;
    let (consumer, created) = consumer.split_once(':').ok_or(NotAnArn)?;
    if !created.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotAnArn);
    }
    Ok(ConsumerArn {
        stream: stream.parse().map_err(|_| NotAnArn)?,
        consumer: consumer.parse().map_err(|_| NotAnArn)?,
        created_seconds: created.parse().map_err(|_| NotAnArn)?,
    })
}

/// The account and region of an ARN, where it is one of this service.
pub fn owner(text: &str) -> Option<Owner> {
    resource(text).ok()?;
    let mut parts = text.split(':').skip(3).map(str::to_owned);
    Some(Owner { region: parts.next()?, account: parts.next()? })
}

/// What follows `arn:aws...:kinesis:REGION:ACCOUNT:`.
fn resource(text: &str) -> Result<&str, NotAnArn> {
    let mut parts = text.splitn(6, ':');
    let mut part = || parts.next().ok_or(NotAnArn);
    let (arn, partition, service) = (part()?, part()?, part()?);
    let (_region, account, resource) = (part()?, part()?, part()?);
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_ours = arn == "arn" && partition.starts_with("aws") && service == "kinesis";
    let fits = text.len() <= ARN_BYTES_MAX;
    (is_ours && is_account && fits).then_some(resource).ok_or(NotAnArn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_reads_back_as_it_was_written() {
        let owner = Owner::default();
        let stream: StreamName = "..".parse().unwrap();
        let consumer: ConsumerName = "fan-out.1".parse().unwrap();
        let text = owner.stream_arn(&stream);
        assert_eq!(text, "arn:aws:kinesis:us-east-1:000000000000:stream/..");
        assert_eq!(parse_stream(&text), Ok(stream.clone()));
        let text = owner.consumer_arn(&stream, &consumer, 1_700_000_000);
        let parsed = parse_consumer(&text).unwrap();
        assert_eq!((parsed.stream, parsed.consumer), (stream, consumer));
        assert_eq!(parsed.created_seconds, 1_700_000_000);
    }

    #[test]
    fn any_account_region_and_partition_resolve_by_name() {
        let text = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders";
        assert_eq!(parse_stream(text), Ok("orders".parse().unwrap()));
    }

    #[test]
    fn other_text_is_refused() {
        let long = format!("arn:aws:kinesis:{}:000000000000:stream/a", "r".repeat(2048));
        for text in [
            "",
            "orders",
            "arn:aws:s3:us-east-1:000000000000:stream/a",
            "arn:aws:kinesis:us-east-1:00000000000:stream/a",
            "arn:aws:kinesis:us-east-1:000000000000:stream/",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a/b",
            "arn:aws:kinesis:us-east-1:000000000000:queue/a",
            &long,
        ] {
            assert_eq!(parse_stream(text), Err(NotAnArn), "{text}");
        }
        for tail in ["", ":", ":x", ":+1", ":99999999999999999999"] {
            let text = format!("arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/c{tail}");
            assert_eq!(parse_consumer(&text), Err(NotAnArn), "{text}");
        }
    }
}
