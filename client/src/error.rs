//! What can go wrong, read from the structured details of a status and never from its words.
//!
//! Two kinds of status exist. One that the server sent carries `google.rpc.ErrorInfo`; its
//! reason picks the variant. One that was made on this side, because a connection failed or
//! broke, carries a source instead; it becomes [`Error::Unreachable`], which knows whether
//! anything can have reached the server. That difference decides what may be retried.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error as ThisError;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::trust::Untrusted;

/// The client's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A range of a shard that is damaged on the server. Reading goes on behind it.
#[derive(Clone, PartialEq, Eq, Debug, Default, ThisError)]
#[error(
    "records {first_lost} to {} are lost: damage in {file} at offset {offset}",
    next_readable.saturating_sub(1)
)]
pub struct DataLoss {
    /// The first sequence number that cannot be read.
    pub first_lost: u64,
    /// The first one behind it that can.
    pub next_readable: u64,
    /// The damaged file, as the server names it.
    pub file: String,
    /// Where in the file.
    pub offset: u64,
    /// A token with which reading goes on; empty at the end of a subscription.
    pub next_shard_iterator: String,
}

/// Why a call, or a single record of it, failed.
#[derive(Clone, Debug, ThisError)]
pub enum Error {
    /// No connection could be made, or it broke.
    #[error("no answer from {server}: {cause}")]
    Unreachable {
        /// The server's address.
        server: Arc<str>,
        /// Whether the request may have reached the server: false where no connection was made.
        sent: bool,
        /// What the transport said.
        cause: String,
    },
    /// The server at an `https://` address shows a certificate that is not trusted.
    #[error("the certificate of {server} is not trusted: {cause}")]
    Untrusted {
        /// The server's address.
        server: Arc<str>,
        /// What is wrong with the certificate, and its fingerprint.
        cause: String,
    },
    /// There is no such stream, shard or consumer, or no longer.
    #[error("{message}")]
    NotFound {
        /// The server's words.
        message: String,
    },
    /// A name is taken, or a thing is in use.
    #[error("{message}")]
    InUse {
        /// The server's words.
        message: String,
    },
    /// A value that the API does not accept.
    #[error("{message}")]
    InvalidArgument {
        /// The field concerned, where it is known.
        field: Option<String>,
        /// What is wrong with it.
        message: String,
    },
    /// The shard takes or gives no more at the moment.
    #[error("throttled: {message}")]
    Throttled {
        /// How long to wait, where the server says so.
        retry_after: Option<Duration>,
        /// The server's words.
        message: String,
    },
    /// The shard iterator is older than five minutes.
    #[error("the shard iterator has expired; get a new one")]
    ExpiredIterator,
    /// A limit of the API is reached.
    #[error("{message}")]
    LimitExceeded {
        /// The server's words.
        message: String,
    },
    /// The server's disk is full.
    #[error("the server's disk is full; puts resume by themselves when space returns")]
    DiskFull {
        /// How long to wait, where the server says so.
        retry_after: Option<Duration>,
    },
    /// Records are damaged on the server.
    #[error(transparent)]
    DataLoss(Box<DataLoss>),
    /// A shard refuses writes after a failed write or sync, until the server is restarted.
    #[error("{message}")]
    Halted {
        /// The server's words.
        message: String,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The server failed to do it. It may be tried again.
    #[error("the server failed: {message}")]
    Internal {
        /// The server's words.
        message: String,
    },
    /// A put got no answer: the record may stand in its shard or not.
    #[error("no acknowledgement, the record may or may not have been put: {cause}")]
    OutcomeUnknown {
        /// Why there is no answer.
        cause: Box<Error>,
    },
    /// The producer was closed or dropped before there was an outcome.
    #[error("the producer was closed before there was an acknowledgement")]
    Closed,
    /// Any other status.
    #[error("{}: {}", .0.code(), .0.message())]
    Other(Status),
}

impl Error {
    /// What a status says.
    pub(crate) fn from_status(server: &Arc<str>, status: Status) -> Error {
        let Some(info) = status.get_details_error_info() else {
            return Self::without_details(server, status);
        };
        let message = status.message().to_owned();
        let retry_after = || status.get_details_retry_info().and_then(|info| info.retry_delay);
        let text = |key: &str| info.metadata.get(key).cloned().unwrap_or_default();
        let number = |key: &str| info.metadata.get(key).and_then(|text| text.parse().ok());
        match info.reason.as_str() {
            "ProvisionedThroughputExceededException" => {
                Error::Throttled { retry_after: retry_after(), message }
            }
            "DiskFullException" => Error::DiskFull { retry_after: retry_after() },
            "InvalidArgumentException" | "ValidationException" => Error::InvalidArgument {
                field: status
                    .get_details_bad_request()
                    .and_then(|bad| bad.field_violations.into_iter().next())
                    .map(|violation| violation.field),
                message,
            },
            "DataLossException" => Error::DataLoss(Box::new(DataLoss {
                first_lost: number("first_lost").unwrap_or_default(),
                next_readable: number("next_readable").unwrap_or_default(),
                file: text("file"),
                offset: number("offset").unwrap_or_default(),
                next_shard_iterator: text("next_shard_iterator"),
            })),
            reason => Self::from_reason(reason, message).unwrap_or(Error::Other(status)),
        }
    }

    /// What the error code of a single record says.
    pub(crate) fn of_record(code: &str, message: String) -> Error {
        match code {
            "ProvisionedThroughputExceededException" => {
                Error::Throttled { retry_after: None, message }
            }
            "DiskFullException" => Error::DiskFull { retry_after: None },
            _ => Self::from_reason(code, message.clone()).unwrap_or(Error::Internal { message }),
        }
    }

    fn from_reason(reason: &str, message: String) -> Option<Error> {
        Some(match reason {
            "ResourceNotFoundException" => Error::NotFound { message },
            "ResourceInUseException" => Error::InUse { message },
            "LimitExceededException" => Error::LimitExceeded { message },
            "ExpiredIteratorException" => Error::ExpiredIterator,
            "LogHaltedException" => Error::Halted { message },
            "ShuttingDownException" => Error::ShuttingDown,
            "InternalFailure" => Error::Internal { message },
            _ => return None,
        })
    }

    fn without_details(server: &Arc<str>, status: Status) -> Error {
        let Some(source) = std::error::Error::source(&status) else {
            return match status.code() {
                // A proxy in between, or this side's own connection worker.
                Code::Unavailable => Error::Unreachable {
                    server: server.clone(),
                    sent: true,
                    cause: status.message().to_owned(),
                },
                Code::InvalidArgument => {
                    Error::InvalidArgument { field: None, message: status.message().to_owned() }
                }
                _ => Error::Other(status),
            };
        };
        Error::from_transport(server, source)
    }

    /// What a failed connection says: the innermost cause is the one a person understands.
    pub(crate) fn from_transport(
        server: &Arc<str>,
        error: &(dyn std::error::Error + 'static),
    ) -> Error {
        let mut sent = true;
        let mut innermost = error;
        loop {
            sent &= !innermost.is::<tonic::ConnectError>();
            match innermost.source() {
                Some(source) => innermost = source,
                None => break,
            }
        }
        let (server, cause) = (server.clone(), innermost.to_string());
        match innermost.is::<Untrusted>() {
            true => Error::Untrusted { server, cause },
            false => Error::Unreachable { server, sent, cause },
        }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Error::Unreachable { .. }
                | Error::Throttled { .. }
                | Error::DiskFull { .. }
                | Error::ShuttingDown
                | Error::Internal { .. }
        )
    }

    /// How long the server asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Throttled { retry_after, .. } | Error::DiskFull { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// Whether the call certainly had no effect, so that even a put may be sent again without
    /// a chance of standing twice.
    pub(crate) fn had_no_effect(&self) -> bool {
        match self {
            Error::Unreachable { sent, .. } => !sent,
            Error::Throttled { .. } | Error::DiskFull { .. } | Error::Untrusted { .. } => true,
            _ => false,
        }
    }

    /// A value refused on this side, before anything is sent.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Error {
        Error::InvalidArgument { field: Some(field.to_owned()), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn server() -> Arc<str> {
        Arc::from("http://127.0.0.1:1")
    }

    fn status(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
        let metadata: HashMap<String, String> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut details = ErrorDetails::new();
        details
            .set_error_info(reason, "anabranch", metadata)
            .set_retry_info(Some(Duration::from_millis(250)))
            .add_bad_request_violation("shard_count", "is 0");
        Status::with_error_details(code, "words", details)
    }

    fn parse(code: Code, reason: &str) -> Error {
        Error::from_status(&server(), status(code, reason, &[]))
    }

    #[test]
    fn the_reason_picks_the_variant() {
        assert!(matches!(
            parse(Code::NotFound, "ResourceNotFoundException"),
            Error::NotFound { message } if message == "words"
        ));
        assert!(matches!(
            parse(Code::AlreadyExists, "ResourceInUseException"),
            Error::InUse { .. }
        ));
        assert!(matches!(
            parse(Code::InvalidArgument, "ExpiredIteratorException"),
            Error::ExpiredIterator
        ));
        assert!(matches!(
            parse(Code::ResourceExhausted, "LimitExceededException"),
            Error::LimitExceeded { .. }
        ));
        assert!(matches!(parse(Code::Unavailable, "LogHaltedException"), Error::Halted { .. }));
        assert!(matches!(parse(Code::Unavailable, "ShuttingDownException"), Error::ShuttingDown));
        assert!(matches!(parse(Code::Internal, "Unheard"), Error::Other(_)));
    }

    #[test]
    fn a_refused_value_names_its_field_and_a_throttle_its_wait() {
        assert!(matches!(
            parse(Code::InvalidArgument, "ValidationException"),
            Error::InvalidArgument { field: Some(field), .. } if field == "shard_count"
        ));
        let throttled = parse(Code::ResourceExhausted, "ProvisionedThroughputExceededException");
        assert_eq!(throttled.retry_after(), Some(Duration::from_millis(250)));
        assert!(throttled.is_retryable() && throttled.had_no_effect());
    }

    #[test]
    fn data_loss_carries_the_range_and_the_place() {
        let fields = [
            ("first_lost", "7"),
            ("next_readable", "9"),
            ("file", "shards/1/0/1.seg"),
            ("offset", "4096"),
            ("next_shard_iterator", "token"),
        ];
        let error =
            Error::from_status(&server(), status(Code::DataLoss, "DataLossException", &fields));
        let Error::DataLoss(loss) = error else {
            panic!("{error:?}");
        };
        assert_eq!((loss.first_lost, loss.next_readable), (7, 9));
        assert_eq!(loss.offset, 4096);
        assert_eq!(loss.next_shard_iterator, "token");
        assert_eq!(
            loss.to_string(),
            "records 7 to 8 are lost: damage in shards/1/0/1.seg at offset 4096"
        );
    }

    #[test]
    fn a_refused_connection_was_never_sent_and_a_broken_one_may_have_been() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(tonic::ConnectError(Box::new(refused))));
        assert!(matches!(
            Error::from_status(&server(), status),
            Error::Unreachable { sent: false, .. }
        ));
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let error = Error::from_status(&server(), Status::from_error(Box::new(broken)));
        assert!(matches!(&error, Error::Unreachable { sent: true, .. }));
        assert!(error.is_retryable() && !error.had_no_effect());
    }
}
