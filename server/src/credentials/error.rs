//! What is wrong with a file of credentials. No text here holds a value of the file, which may be
//! a secret in the wrong place.

use std::path::PathBuf;

use thiserror::Error;

/// A file of credentials that is not taken.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// The file could not be read.
    #[error("cannot read the credentials file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Others than its owner may read or write it.
    #[error(
        "the credentials file {} is open to others than its owner (mode {mode:03o}); run: chmod \
         600 {}",
        path.display(),
        path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What it says makes no sense.
    #[error("the credentials file {}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place, and what is wrong there.
        message: String,
    },
}
