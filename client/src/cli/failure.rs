//! Why a command ends without success: an exit code, and words that name the fix.

use std::io::IsTerminal;

use tonic::Code;

use super::{FAILED, UNREACHABLE, USAGE};
use crate::error::Error;

#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: i32,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Failure { code: FAILED, text: text.into() }
    }

    pub(super) fn usage(text: impl Into<String>) -> Self {
        Failure { code: USAGE, text: text.into() }
    }

    /// What a call about a stream failed with.
    pub(super) fn about_stream(stream_name: &str, error: Error) -> Self {
        match error {
            Error::NotFound { .. } => Failure::new(format!(
                "there is no stream {stream_name}; make it with: anabranch stream create \
                 {stream_name}"
            )),
            error => error.into(),
        }
    }

    /// Says it to a person.
    pub(super) fn print(&self) {
        eprintln!("{} {}", paint("1;31", "error:"), self.text);
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Unreachable { server, sent: false, cause } => Failure {
                code: UNREACHABLE,
                text: format!(
                    "no server at {server} ({cause}); start one with: anabranch serve, or name \
                     another with --server URL"
                ),
            },
            Error::Unreachable { server, sent: true, cause } => Failure {
                code: UNREACHABLE,
                text: format!("the server at {server} went away: {cause}"),
            },
            Error::Untrusted { .. } => Failure {
                code: UNREACHABLE,
                text: format!(
                    "{error}; trust its authority with --tls-ca FILE, or this very certificate \
                     with --tls-fingerprint SHA256 if that is what the server says at its start"
                ),
            },
            Error::ShuttingDown => Failure {
                code: UNREACHABLE,
                text: "the server is shutting down; try again when it is back".to_owned(),
            },
            Error::OutcomeUnknown { cause } => Failure::from(*cause),
            Error::InvalidArgument { field: Some(field), message }
                if field == "server" || field.starts_with("tls_") =>
            {
                Failure::usage(message)
            }
            Error::Other(status) if status.code() == Code::Unauthenticated => {
                Failure::new(format!(
                    "{}; sign in with ANABRANCH_ACCESS_KEY and ANABRANCH_SECRET_KEY, or with a \
                     certificate that the server knows (--tls-client-cert)",
                    status.message()
                ))
            }
            error => Failure::new(error.to_string()),
        }
    }
}

/// Warns a person.
pub(super) fn warn(text: &str) {
    eprintln!("{} {text}", paint("33", "warning:"));
}

/// Colours text for standard error, on a terminal and where nobody objects.
fn paint(code: &str, text: &str) -> String {
    let objects = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stderr().is_terminal() && !objects {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn failures_name_the_fix_and_have_their_codes() {
        let unreachable = |sent| Error::Unreachable {
            server: Arc::from("http://127.0.0.1:4567"),
            sent,
            cause: "Connection refused".to_owned(),
        };
        let refused = Failure::from(unreachable(false));
        assert_eq!(refused.code, UNREACHABLE);
        assert!(refused.text.contains("no server at http://127.0.0.1:4567"));
        assert!(refused.text.contains("anabranch serve"));
        let lost = Error::OutcomeUnknown { cause: Box::new(unreachable(true)) };
        assert_eq!(Failure::from(lost).code, UNREACHABLE);
        let unknown = Error::NotFound { message: "no".to_owned() };
        let unknown = Failure::about_stream("orders", unknown);
        assert_eq!(unknown.code, FAILED);
        assert!(unknown.text.ends_with("anabranch stream create orders"));
    }
}
