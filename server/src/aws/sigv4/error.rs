//! Why a request is not taken for that of somebody we know.

use thiserror::Error;

/// A refusal, in the words of the service. It never holds a secret; of what was sent it may show
/// the signature, and no more than is needed to see what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AuthError {
    /// There is no signature.
    #[error("Missing Authentication Token")]
    MissingAuthenticationToken,
    /// A part of the signature is missing or cannot be read.
    #[error("{0}")]
    IncompleteSignature(String),
    /// The signature is not that of the request, or not of now.
    #[error("{0}")]
    InvalidSignature(String),
    /// Nobody has that access key. Access keys are no secrets, and the service tells as well.
    #[error("The security token included in the request is invalid.")]
    UnrecognizedClient,
}

impl AuthError {
    /// The name of the exception in the API. All of them have the HTTP status 400.
    pub fn exception(&self) -> &'static str {
        match self {
            AuthError::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            AuthError::IncompleteSignature(_) => "IncompleteSignatureException",
            AuthError::InvalidSignature(_) => "InvalidSignatureException",
            AuthError::UnrecognizedClient => "UnrecognizedClientException",
        }
    }

    /// The signature is another one than ours.
    pub(super) fn mismatch() -> Self {
        AuthError::InvalidSignature(
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method. Consult the service documentation for \
             details."
                .to_owned(),
        )
    }

    pub(super) fn incomplete(message: impl Into<String>) -> Self {
        AuthError::IncompleteSignature(message.into())
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        AuthError::InvalidSignature(message.into())
    }
}
