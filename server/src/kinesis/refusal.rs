//! Why a request is refused, and how the Kinesis API says it.
//!
//! What an operation refuses is told as [`crate::ops::kind::TABLE`] has it. What is refused before
//! any operation is known is told as the service does, down to where it leaves its encoding.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tonic::body::Body;

use super::model::Fault;
use super::reply;
use super::value::{Encoding, Members};
use crate::ops::OpError;

/// Names the exception once more, for clients of the REST encodings.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// A refusal.
#[derive(Debug)]
pub(super) enum Refusal {
    /// An exception of the API.
    Exception {
        /// Its HTTP status.
        status: StatusCode,
        /// Its name.
        name: &'static str,
        /// The reason in words; what cannot be read is refused without any.
        message: Option<String>,
    },
    /// An exception for those who have named no encoding.
    Markup {
        /// Its HTTP status.
        status: StatusCode,
        /// Its name.
        name: &'static str,
        /// The reason in words.
        message: Option<&'static str>,
    },
    /// An exception for those who have named plain JSON. The service takes their requests no
    /// further, and says so with a status of success.
    Wrapped {
        /// Its name.
        name: &'static str,
        /// The name under which it has no message.
        message_member: &'static str,
    },
}

impl Refusal {
    /// An exception of status 400, as most are.
    pub(super) fn exception(name: &'static str, message: impl Into<String>) -> Refusal {
        let message = Some(message.into());
        Refusal::Exception { status: StatusCode::BAD_REQUEST, name, message }
    }

    /// An exception of status 400 that says nothing more.
    pub(super) fn bare(name: &'static str) -> Refusal {
        Refusal::Exception { status: StatusCode::BAD_REQUEST, name, message: None }
    }

    /// The answer.
    pub(super) fn into_response(self, encoding: Encoding) -> Response<Body> {
        match self {
            Refusal::Exception { status, name, message } => {
                // The service writes the message of this one with a capital.
                let is_serialization = name == SERIALIZATION;
                let message_name = if is_serialization { "Message" } else { "message" };
                let members = Members::new().with("__type", name).with_some(message_name, message);
                let mut response = reply::written(status, encoding, members);
                response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(name));
                response
            }
            Refusal::Markup { status, name, message } => {
                let text = match message {
                    None => format!("<{name}/>\n"),
                    Some(text) => format!("<{name}>\n  <Message>{text}</Message>\n</{name}>\n"),
                };
                reply::marked_up(status, text)
            }
            Refusal::Wrapped { name, message_member } => {
                let text = format!(
                    r#"{{"Output":{{"__type":"com.amazon.coral.service#{name}","{message_member}":null}},"Version":"1.0"}}"#
                );
                reply::with_body(StatusCode::OK, PLAIN_JSON, Bytes::from(text))
            }
        }
    }
}

/// The exception for what cannot be read.
pub(super) const SERIALIZATION: &str = "SerializationException";
/// The exception for what nobody does.
pub(super) const UNKNOWN_OPERATION: &str = "UnknownOperationException";
/// The exception for whom nobody lets in.
pub(super) const ACCESS_DENIED: &str = "AccessDeniedException";
/// The media type of plain JSON.
pub(super) const PLAIN_JSON: &str = "application/json";

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        match fault {
            Fault::Malformed => Refusal::bare(SERIALIZATION),
            Fault::Serialization(text) => Refusal::exception(SERIALIZATION, text),
            Fault::Validation(text) => Refusal::exception("ValidationException", text),
        }
    }
}

impl From<&OpError> for Refusal {
    fn from(error: &OpError) -> Refusal {
        let told = error.kind.told();
        let status = StatusCode::from_u16(told.http_status).expect("the table has true ones");
        let message = Some(in_api_names(error).into_owned());
        Refusal::Exception { status, name: told.exception, message }
    }
}

/// The message of a refusal, which may begin with a field as the proto names it.
fn in_api_names(error: &OpError) -> Cow<'_, str> {
    let field = error.field.as_deref().unwrap_or_default();
    match error.message.strip_prefix(field) {
        Some(rest) if !field.is_empty() => format!("{}{rest}", api_name(field)).into(),
        _ => (&*error.message).into(),
    }
}

/// The API's name of a proto field: `stream_arn` is `StreamARN`.
fn api_name(field: &str) -> String {
    let mut name = String::with_capacity(field.len());
    for word in field.split('_') {
        match word {
            "arn" => name.push_str("ARN"),
            "mibps" => name.push_str("MiBps"),
            "kib" => name.push_str("KiB"),
            _ => {
                let mut letters = word.chars();
                name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                name.push_str(letters.as_str());
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::ops::Kind;

    async fn told(refusal: Refusal) -> (u16, String) {
        let response = refusal.into_response(Encoding::Json);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn an_operations_refusal_is_told_by_the_table_and_in_the_apis_names() {
        let error = OpError::invalid("stream_arn", "names another stream");
        let (status, text) = told(Refusal::from(&error)).await;
        assert_eq!(status, 400);
        assert_eq!(
            text,
            r#"{"__type":"InvalidArgumentException","message":"StreamARN: names another stream"}"#
        );
        let error = OpError::new(Kind::ShuttingDown, "the server is shutting down");
        assert_eq!(told(Refusal::from(&error)).await.0, 503);
        for (field, name) in [
            ("limit", "Limit"),
            ("warm_throughput_mibps", "WarmThroughputMiBps"),
            ("max_record_size_in_kib", "MaxRecordSizeInKiB"),
        ] {
            assert_eq!(api_name(field), name);
        }
    }

    #[tokio::test]
    async fn what_comes_before_an_operation_is_told_as_the_service_does() {
        let (_, text) = told(Refusal::exception(SERIALIZATION, "why")).await;
        assert_eq!(text, r#"{"__type":"SerializationException","Message":"why"}"#);
        let (_, text) = told(Refusal::bare(SERIALIZATION)).await;
        assert_eq!(text, r#"{"__type":"SerializationException"}"#);
        let status = StatusCode::NOT_FOUND;
        let refusal = Refusal::Markup { status, name: UNKNOWN_OPERATION, message: None };
        assert_eq!(told(refusal).await, (404, "<UnknownOperationException/>\n".to_owned()));
        let message_member = "message";
        let (status, text) =
            told(Refusal::Wrapped { name: UNKNOWN_OPERATION, message_member }).await;
        assert_eq!(status, 200);
        assert_eq!(
            text,
            r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException","message":null},"Version":"1.0"}"#
        );
    }
}
