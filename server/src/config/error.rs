//! What is wrong with settings, in words that name the place and the fix.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Settings that a server cannot be started with.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is not TOML, or a value in it is not one of the allowed.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the TOML reader says, with the line.
        message: String,
    },
    /// A key that nobody knows.
    #[error("{}: unknown key `{key}`{}", path.display(), Suggestion(suggestion.as_deref()))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The nearest known key, if one is near.
        suggestion: Option<String>,
    },
    /// A variable's value is not one of the allowed.
    #[error("{name}={value:?}: {message}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        message: String,
    },
    /// Not even one request would fit.
    #[error("request_mib is {0}; one request may have 16 MiB, so at least that is needed")]
    RequestMib(u32),
    /// Half of what TLS needs.
    #[error("{given} is set and {missing} is not; TLS needs both, or tls_auto alone")]
    TlsIncomplete {
        /// The key that is set.
        given: &'static str,
        /// The other one.
        missing: &'static str,
    },
    /// Two certificates for one port.
    #[error(
        "tls_auto makes a certificate, and tls_cert and tls_key name one; set the one or the \
         others"
    )]
    TlsTwice,
    /// The account id is not twelve digits.
    #[error("account_id is {0:?}; an account id has twelve digits, such as 000000000000")]
    AccountId(String),
    /// The region is not a region's name.
    #[error("region is {0:?}; a region has 1 to 64 of a-z 0-9 -, such as us-east-1")]
    Region(String),
}

struct Suggestion<'a>(Option<&'a str>);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => write!(f, "; did you mean `{key}`?"),
            None => write!(f, "; `anabranch config show` lists the keys"),
        }
    }
}
