//! What kinds of refusal there are, and how each is told.
//!
//! [`TABLE`] decides it once for all doors: the reason and the code that gRPC gives, the exception
//! and the HTTP status that the Kinesis API gives. docs/clients.md shows it; a test holds the two
//! together.

use tonic::Code;

/// What kind of refusal it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// No such stream, shard or consumer, or no longer.
    ResourceNotFound,
    /// It is in use by others, or not ACTIVE.
    ResourceInUse,
    /// It cannot be made because it exists: `ResourceInUseException` too.
    AlreadyExists,
    /// A value is not allowed.
    InvalidArgument,
    /// A value is outside the API's limits, or the stream's mode does not have the operation.
    Validation,
    /// The iterator is older than 300 seconds.
    ExpiredIterator,
    /// The token of a page is older than 300 seconds.
    ExpiredNextToken,
    /// A dry run of a call that would have been carried out.
    DryRun,
    /// Nobody we know has signed in.
    Unauthenticated,
    /// The caller may not do it.
    AccessDenied,
    /// There may be no more of it.
    LimitExceeded,
    /// The disk, the shard or the stream's quota does not keep up: try again soon.
    Throttled,
    /// There is no such key in a key service.
    KeyNotFound,
    /// The disk is full.
    DiskFull,
    /// The shard's log refuses writes until the server is restarted.
    LogHalted,
    /// The server is shutting down.
    ShuttingDown,
    /// Records are damaged.
    DataLoss,
    /// Records were written by a newer program, in a format that this one does not know.
    NewerFormat,
    /// Neither operation nor encoding is known here.
    Unknown,
    /// Our failure, or the machine's.
    InternalFailure,
}

/// How a kind of refusal is told.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The kind.
    pub kind: Kind,
    /// The reason in gRPC's `ErrorInfo`, in metrics and in the outcome of a single record: the
    /// name of the Kinesis exception where the service has one, and otherwise one of ours.
    pub reason: &'static str,
    /// The code of the gRPC status.
    pub code: Code,
    /// The exception of the Kinesis API.
    pub exception: &'static str,
    /// Its HTTP status. SDKs try again by themselves from 500 on.
    pub http_status: u16,
}

/// How every kind is told, in the order of their declaration.
///
/// An application that is written for the service knows its exceptions alone. What only we have
/// is one of its failures to it, which it tries again; a server that will be back, or whose place
/// another takes, is unavailable.
pub const TABLE: [Told; 20] = [
    kinesis(Kind::ResourceNotFound, "ResourceNotFoundException", Code::NotFound),
    kinesis(Kind::ResourceInUse, "ResourceInUseException", Code::FailedPrecondition),
    kinesis(Kind::AlreadyExists, "ResourceInUseException", Code::AlreadyExists),
    kinesis(Kind::InvalidArgument, "InvalidArgumentException", Code::InvalidArgument),
    kinesis(Kind::Validation, "ValidationException", Code::InvalidArgument),
    kinesis(Kind::ExpiredIterator, "ExpiredIteratorException", Code::InvalidArgument),
    kinesis(Kind::ExpiredNextToken, "ExpiredNextTokenException", Code::InvalidArgument),
    kinesis(Kind::DryRun, "DryRunOperationException", Code::FailedPrecondition),
    kinesis(Kind::Unauthenticated, "UnrecognizedClientException", Code::Unauthenticated),
    kinesis(Kind::AccessDenied, "AccessDeniedException", Code::PermissionDenied),
    kinesis(Kind::LimitExceeded, "LimitExceededException", Code::ResourceExhausted),
    kinesis(Kind::Throttled, "ProvisionedThroughputExceededException", Code::ResourceExhausted),
    kinesis(Kind::KeyNotFound, "KMSNotFoundException", Code::NotFound),
    failure(Kind::DiskFull, "DiskFullException", Code::ResourceExhausted),
    unavailable(Kind::LogHalted, "LogHaltedException"),
    unavailable(Kind::ShuttingDown, "ShuttingDownException"),
    failure(Kind::DataLoss, "DataLossException", Code::DataLoss),
    failure(Kind::NewerFormat, "NewerFormatException", Code::FailedPrecondition),
    kinesis(Kind::Unknown, "UnknownOperationException", Code::Unimplemented),
    failure(Kind::InternalFailure, "InternalFailure", Code::Internal),
];

const fn kinesis(kind: Kind, exception: &'static str, code: Code) -> Told {
    Told { kind, reason: exception, code, exception, http_status: 400 }
}

const fn failure(kind: Kind, reason: &'static str, code: Code) -> Told {
    Told { kind, reason, code, exception: "InternalFailureException", http_status: 500 }
}

const fn unavailable(kind: Kind, reason: &'static str) -> Told {
    let code = Code::Unavailable;
    Told { kind, reason, code, exception: "ServiceUnavailable", http_status: 503 }
}

impl Kind {
    /// Every kind, in the order of their declaration.
    pub fn all() -> impl Iterator<Item = Kind> {
        TABLE.iter().map(|told| told.kind)
    }

    /// How it is told.
    pub fn told(self) -> &'static Told {
        &TABLE[self as usize]
    }

    /// The name that clients see over gRPC: Kinesis's where there is one.
    pub fn reason(self) -> &'static str {
        self.told().reason
    }

    /// The first kind that is told by the same reason: one reason is one series of a metric.
    #[must_use]
    pub fn series(self) -> Kind {
        let same = Kind::all().find(|kind| kind.reason() == self.reason());
        same.expect("its own reason is among them")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_kind_finds_its_own_row() {
        for (index, told) in TABLE.iter().enumerate() {
            assert_eq!(told.kind as usize, index);
            assert_eq!(told.kind.told().kind, told.kind);
        }
        assert_eq!(Kind::AlreadyExists.series(), Kind::ResourceInUse);
        assert_eq!(Kind::InternalFailure.series(), Kind::InternalFailure);
    }

    #[test]
    fn the_documented_table_is_the_one_in_force() {
        let text = include_str!("../../../docs/clients.md");
        let rows = text.lines().filter(|line| line.starts_with("| `") && line.contains("` | `"));
        let documented: BTreeSet<String> = rows.map(str::to_owned).collect();
        let in_force: BTreeSet<String> = TABLE
            .iter()
            .map(|told| {
                let (reason, exception) = (told.reason, told.exception);
                let code = code_name(told.code);
                format!("| `{reason}` | `{code}` | `{exception}` | {} |", told.http_status)
            })
            .collect();
        assert_eq!(documented, in_force);
    }

    /// A code as the specification of gRPC writes it.
    fn code_name(code: Code) -> String {
        let mut name = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }
}
