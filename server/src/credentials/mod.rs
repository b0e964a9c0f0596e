//! Credentials: who may sign in to this server, and with which secret.
//!
//! They come from one file ([`file`] reads it), which can be read again while the server runs: calls
//! that have begun go on as whoever began them, the next ones ask the new table. A file that cannot
//! be read then leaves the old table in force.
//!
//! The Kinesis API has signatures, [`Credentials::of_signature`]; gRPC sends access key and secret as
//! a token, or shows a certificate, [`Credentials::of_connection`]. While there is no file, a
//! signature must only look like one, nothing else is needed, and everybody is nobody in particular.
//! What somebody who has signed in may do is not decided here.

mod error;
mod file;
mod secret;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

pub use self::error::CredentialsError;
pub use self::secret::Secret;
use crate::aws::policy::Policy;
use crate::aws::sigv4::{AuthError, Authorization, SignedRequest, SigningKeys};
use crate::fingerprint::Fingerprint;

/// The service that requests are signed for.
const SERVICE: &str = "kinesis";
/// A part of temporary credentials, which we do not give out.
const SECURITY_TOKEN: &str = "x-amz-security-token";

/// Somebody who may sign in.
#[derive(Clone, Debug)]
pub struct Credential {
    /// What policies and refusals call them: the user of `arn:aws:iam::ACCOUNT:user/NAME`.
    pub name: String,
    /// What they may do.
    pub policies: Vec<Policy>,
}

/// What somebody signs in with who has an access key.
#[derive(Clone, Debug)]
struct AccessKey {
    secret: Secret,
    credential: Arc<Credential>,
}

/// What a file says.
#[derive(Default, Debug)]
struct Entries {
    by_access_key: HashMap<String, AccessKey>,
    by_certificate: HashMap<Fingerprint, Arc<Credential>>,
    /// Credentials.
    count: usize,
}

/// Everybody who may sign in.
pub struct Credentials {
    /// The file, where there is one. Then there is a table too.
    path: Option<PathBuf>,
    table: RwLock<Option<Arc<Table>>>,
}

/// What a file says, and what was derived from its secrets.
struct Table {
    entries: Entries,
    keys: SigningKeys,
}

impl Credentials {
    /// No credentials: whoever can connect may do everything.
    pub fn none() -> Self {
        Credentials { path: None, table: RwLock::new(None) }
    }

    /// Those of a file, which only its owner may read.
    pub fn open(path: &Path) -> Result<Self, CredentialsError> {
        let table = Table::new(file::read(path)?);
        Ok(Credentials { path: Some(path.to_owned()), table: RwLock::new(Some(Arc::new(table))) })
    }

    /// Whether anybody has to sign in.
    pub fn exist(&self) -> bool {
        self.path.is_some()
    }

    /// Reads the file again, if there is one, and says how many it names. Where it cannot be read
    /// everything stays as it was.
    pub fn reload(&self) -> Result<usize, CredentialsError> {
        let Some(path) = &self.path else { return Ok(0) };
        let table = Table::new(file::read(path)?);
        let count = table.entries.count;
        *self.table.write() = Some(Arc::new(table));
        Ok(count)
    }

    /// Who has signed a request with this body, as of a time in milliseconds since 1970. `None`
    /// where there are no credentials and the request has something like a signature.
    pub fn of_signature(
        &self,
        parts: &Parts,
        body: &[u8],
        now_ms: u64,
    ) -> Result<Option<Arc<Credential>>, AuthError> {
        let query = parts.uri.query().unwrap_or_default();
        let authorization = Authorization::parse(&parts.headers, query)?;
        let Some(table) = self.table() else { return Ok(None) };
        let request = SignedRequest::new(parts, Sha256::digest(body).into());
        let key = table.entries.by_access_key.get(authorization.access_key());
        let secret_of = |_: &str| key.map(|key| key.secret.expose());
        authorization.verify(&request, SERVICE, now_ms, secret_of, &table.keys)?;
        if parts.headers.contains_key(SECURITY_TOKEN) {
            return Err(AuthError::UnrecognizedClient);
        }
        Ok(key.map(|key| Arc::clone(&key.credential)))
    }

    /// Whose token `authorization: Bearer ACCESS_KEY:SECRET` is, or else whose certificate was shown
    /// when the connection was made. `None` where there are no credentials.
    pub fn of_connection(
        &self,
        headers: &HeaderMap,
        shown: Option<&Fingerprint>,
    ) -> Result<Option<Arc<Credential>>, AuthError> {
        let Some(table) = self.table() else { return Ok(None) };
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = match (values.next(), values.next(), shown) {
            (Some(value), None, _) => value,
            (None, None, Some(shown)) => {
                let credential = table.entries.by_certificate.get(shown);
                return credential.cloned().map(Some).ok_or(AuthError::UnrecognizedClient);
            }
            _ => return Err(AuthError::MissingAuthenticationToken),
        };
        let token = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.split_once(':')).flatten()
        });
        let (access_key, secret) = token.ok_or(AuthError::MissingAuthenticationToken)?;
        let key = table.entries.by_access_key.get(access_key);
        let key = key.filter(|key| key.secret.is(secret)).ok_or(AuthError::UnrecognizedClient)?;
        Ok(Some(Arc::clone(&key.credential)))
    }

    fn table(&self) -> Option<Arc<Table>> {
        self.table.read().clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Table {
    fn new(entries: Entries) -> Self {
        Table { entries, keys: SigningKeys::default() }
    }
}
