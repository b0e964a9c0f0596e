//! What the head of a request asks for: an encoding and an operation.
//!
//! The service looks at a request in an order that clients can see: method, content type, body,
//! target, authorisation, types, values. [`super::door`] keeps to it with what is read here.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, ORIGIN};

use super::refusal::PLAIN_JSON;
use super::value::Encoding;
use crate::metrics::Operation;

/// What stands before an operation in the target.
const SERVICE: &str = "Kinesis_20131202";
/// The header that names the operation.
pub(crate) const TARGET: &str = "x-amz-target";

/// What kind of body is announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Media {
    /// One of the encodings of the API.
    Encoded(Encoding),
    /// JSON without a version, which the service reads and takes no further.
    Plain,
    /// Something else, or nothing.
    Other,
}

/// What the target names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// Not a service and an operation.
    Missing,
    /// An operation that there is not.
    Unknown,
    /// An operation of the API.
    Known(Operation),
}

/// What kind of body the headers announce.
pub(super) fn media(headers: &HeaderMap) -> Media {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    let is = |encoding: &Encoding| kind.eq_ignore_ascii_case(encoding.content_type());
    match [Encoding::Json, Encoding::Cbor].into_iter().find(is) {
        Some(encoding) => Media::Encoded(encoding),
        None if kind.eq_ignore_ascii_case(PLAIN_JSON) => Media::Plain,
        None => Media::Other,
    }
}

/// What the headers ask for.
pub(super) fn target(headers: &HeaderMap) -> Target {
    let text = headers.get(TARGET).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text.split_once('.') {
        Some((service, operation)) if !service.is_empty() && !operation.is_empty() => {
            let known = Operation::of_name(operation);
            let known = known.filter(|known| service == SERVICE && is_of_the_api(*known));
            known.map_or(Target::Unknown, Target::Known)
        }
        _ => Target::Missing,
    }
}

/// Whether it is an operation of Kinesis, and not one that only we have.
fn is_of_the_api(operation: Operation) -> bool {
    use Operation::{DescribeShardLoad, Produce, SetQuotas};
    !matches!(operation, DescribeShardLoad | Produce | SetQuotas)
}

/// Whether a web page may have sent it that is not of this machine.
///
/// While nobody has to sign in, whatever runs on this machine may do everything, and so could any
/// page that somebody looks at. Browsers say where a page is from; the pages of a developer's own
/// machine are let in.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let Ok(origin) = origin.to_str() else { return true };
    let Some((_, authority)) = origin.split_once("://") else { return true };
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => authority.split(':').next(),
    };
    !matches!(host.unwrap_or_default(), "localhost" | "127.0.0.1" | "::1")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        [(name.parse().unwrap(), HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn the_content_type_is_read_without_its_parameters() {
        for (text, media_type) in [
            ("application/x-amz-json-1.1", Media::Encoded(Encoding::Json)),
            ("application/X-AMZ-json-1.1; charset=utf-8", Media::Encoded(Encoding::Json)),
            ("application/x-amz-cbor-1.1", Media::Encoded(Encoding::Cbor)),
            ("application/json", Media::Plain),
            ("application/x-amz-json-1.0", Media::Other),
            ("", Media::Other),
        ] {
            assert_eq!(media(&headers("content-type", text)), media_type, "{text}");
        }
        assert_eq!(media(&HeaderMap::new()), Media::Other);
    }

    #[test]
    fn only_operations_of_the_api_are_known() {
        let of = |text| target(&headers(TARGET, text));
        let known = of("Kinesis_20131202.ListStreams");
        assert_eq!(known, Target::Known(Operation::ListStreams));
        for unknown in [
            "Kinesis_20131202.CreateQueue",
            "Kinesis_20131202.Produce",
            "Kinesis_20131202.SetQuotas",
            "Kinesis_20131202.liststreams",
            "DynamoDB_20120810.ListStreams",
        ] {
            assert_eq!(of(unknown), Target::Unknown, "{unknown}");
        }
        for missing in ["", "ListStreams", ".ListStreams", "Kinesis_20131202."] {
            assert_eq!(of(missing), Target::Missing, "{missing}");
        }
        let count = Operation::ALL.into_iter().filter(|known| is_of_the_api(*known)).count();
        assert_eq!(count, 40);
    }

    #[test]
    fn pages_of_other_machines_are_known() {
        for (origin, is_elsewhere) in [
            ("http://localhost:3000", false),
            ("http://127.0.0.1", false),
            ("http://[::1]:80", false),
            ("https://example.com", true),
            ("http://localhost.example.com", true),
            ("null", true),
        ] {
            assert_eq!(is_from_elsewhere(&headers("origin", origin)), is_elsewhere, "{origin}");
        }
        assert!(!is_from_elsewhere(&HeaderMap::new()));
    }
}
