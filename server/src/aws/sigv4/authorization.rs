//! The parts of a signature, from the header or from the query.
//!
//! [`Authorization::parse`] asks as little as the service's local stand-ins do: every part must be
//! there and not empty. Test suites sign with made-up parts, and a server without credentials
//! takes them. What is taken in this generous way and is not well-formed is remembered, and refused
//! when the signature counts.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{AUTHORIZATION, DATE};

use super::AuthError;
use super::canonical::{decode, pairs};

/// Bytes of an `Authorization` header at most: some 250 are usual, and 64 signed headers fit.
const AUTHORIZATION_BYTES_MAX: usize = 4096;
/// Bytes of a query at most: a presigned one has some 500.
const QUERY_BYTES_MAX: usize = 8192;
/// Characters of what was sent that a refusal shows at most.
const SHOWN_CHARS_MAX: usize = 1024;

/// The header with the time of signing.
pub(super) const AMZ_DATE: &str = "x-amz-date";

/// Where a signature stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// In the `Authorization` header.
    Header,
    /// In the query: a presigned request.
    Query,
}

/// A signature with all its parts, none of which has been checked.
#[derive(Clone, Debug)]
pub struct Authorization<'a> {
    pub(super) form: Form,
    pub(super) algorithm: Cow<'a, str>,
    /// ACCESS_KEY/DATE/REGION/SERVICE/aws4_request.
    pub(super) credential: Cow<'a, str>,
    /// Names in lower case, separated by semicolons.
    pub(super) signed_headers: Cow<'a, str>,
    /// 64 hexadecimal digits.
    pub(super) signature: Cow<'a, str>,
    /// When it was signed.
    pub(super) date: Cow<'a, str>,
    /// For how many seconds it holds, where it was presigned and says so.
    pub(super) expires: Option<Cow<'a, str>>,
    /// What is not well-formed about it, where something is not.
    pub(super) malformed: Option<AuthError>,
}

impl<'a> Authorization<'a> {
    /// Reads the signature of a request with these headers and this query. One that is in both places, in none, or lacks a part is
    /// refused.
    pub fn parse(headers: &'a HeaderMap, query: &'a str) -> Result<Self, AuthError> {
        if query.len() > QUERY_BYTES_MAX {
            let message = format!("The query-string has more than {QUERY_BYTES_MAX} bytes.");
            return Err(AuthError::incomplete(message));
        }
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let header = values.next().map(|value| value.as_bytes());
        let header = header.filter(|value| !value.is_empty() && !is_of_another_scheme(value));
        let is_presigned = pairs(query).any(|(name, _)| decode(name) == b"X-Amz-Algorithm");
        match (header, is_presigned) {
            (Some(_), true) => Err(AuthError::invalid(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP \
                 header.",
            )),
            (None, false) => Err(AuthError::MissingAuthenticationToken),
            (Some(header), false) if header.len() > AUTHORIZATION_BYTES_MAX => {
                let message = format!(
                    "The Authorization header has more than {AUTHORIZATION_BYTES_MAX} bytes."
                );
                Err(AuthError::incomplete(message))
            }
            (Some(header), false) => {
                let mut parsed = Self::of_header(header, headers)?;
                if values.next().is_some() {
                    let message = "Found more than one 'Authorization' header.";
                    parsed.malformed = Some(AuthError::invalid(message));
                }
                Ok(parsed)
            }
            (None, true) => Self::of_query(query),
        }
    }

    /// The access key that it claims.
    pub fn access_key(&self) -> &str {
        self.credential.split('/').next().unwrap_or_default()
    }

    /// Where it stands.
    pub fn form(&self) -> Form {
        self.form
    }

    fn of_header(header: &'a [u8], headers: &'a HeaderMap) -> Result<Self, AuthError> {
        let text = String::from_utf8_lossy(header);
        let (algorithm, parameters) = text.split_once([' ', ',']).unwrap_or((&text, ""));
        let (mut credential, mut signature, mut signed_headers) = ("", "", "");
        for parameter in parameters.split([',', ' ']) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "Credential" => credential = value,
                "Signature" => signature = value,
                "SignedHeaders" => signed_headers = value,
                _ => {}
            }
        }
        let date = [AMZ_DATE, DATE.as_str()]
            .iter()
            .find_map(|name| headers.get(*name))
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .filter(|value| !value.is_empty());
        let mut missing = String::new();
        for (name, value) in [
            ("Credential", credential),
            ("Signature", signature),
            ("SignedHeaders", signed_headers),
        ] {
            if value.is_empty() {
                missing.extend(["Authorization header requires '", name, "' parameter. "]);
            }
        }
        if date.is_none() {
            missing += "Authorization header requires existence of either a 'X-Amz-Date' or a \
                        'Date' header. ";
        }
        let Some(date) = date.filter(|_| missing.is_empty()) else {
            let message = format!("{missing}Authorization={}", shown(&text));
            return Err(AuthError::incomplete(message));
        };
        Ok(Authorization {
            form: Form::Header,
            algorithm: algorithm.to_owned().into(),
            credential: credential.to_owned().into(),
            signed_headers: signed_headers.to_owned().into(),
            signature: signature.to_owned().into(),
            date,
            expires: None,
            malformed: malformed_part(&text, algorithm),
        })
    }

    fn of_query(query: &'a str) -> Result<Self, AuthError> {
        let mut malformed = None;
        let mut take = |wanted: &str| {
            let named = pairs(query).filter(|(name, _)| decode(name) == wanted.as_bytes());
            let mut values = named.map(|(_, value)| decode(value));
            let value = values.next().filter(|value| !value.is_empty());
            if values.next().is_some() {
                let message = format!("Found '{wanted}' more than once in the query-string.");
                malformed = Some(AuthError::invalid(message));
            }
            value.map(|value| String::from_utf8_lossy(&value).into_owned())
        };
        let names = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Signature",
            "X-Amz-SignedHeaders",
            "X-Amz-Date",
        ];
        let values = names.map(&mut take);
        let expires = take("X-Amz-Expires").map(Cow::Owned);
        let mut missing = String::new();
        for (name, value) in names.iter().zip(&values) {
            if value.is_none() {
                missing.extend(["AWS query-string parameters must include '", name, "'. "]);
            }
        }
        let [Some(algorithm), Some(credential), Some(signature), Some(signed_headers), Some(date)] =
            values
        else {
            let message = format!("{missing}Re-examine the query-string parameters.");
            return Err(AuthError::incomplete(message));
        };
        Ok(Authorization {
            form: Form::Query,
            algorithm: algorithm.into(),
            credential: credential.into(),
            signed_headers: signed_headers.into(),
            signature: signature.into(),
            date: date.into(),
            expires,
            malformed,
        })
    }
}

/// Whether a header is a password or a token of another kind, which is not to be shown in a
/// refusal: over this door there is no other than a signature.
fn is_of_another_scheme(header: &[u8]) -> bool {
    ["basic", "bearer", "digest", "negotiate"].iter().any(|scheme| {
        header
            .get(..scheme.len())
            .is_some_and(|front| front.eq_ignore_ascii_case(scheme.as_bytes()))
    })
}

/// What of a header is not `ALGORITHM NAME=VALUE, NAME=VALUE, NAME=VALUE`, each name once.
fn malformed_part(header: &str, algorithm: &str) -> Option<AuthError> {
    let Some(parameters) = header[algorithm.len()..].strip_prefix(' ') else {
        return Some(AuthError::incomplete("A space must follow the algorithm."));
    };
    let mut seen = Vec::with_capacity(3);
    for parameter in parameters.split(',') {
        let parameter = parameter.trim_matches(' ');
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) if !value.contains(' ') => (name, value),
            _ => {
                let message = format!(
                    "'{}' not a valid key=value pair (missing equal-sign) in Authorization \
                     header: '{}'.",
                    shown(parameter),
                    shown(header)
                );
                return Some(AuthError::incomplete(message));
            }
        };
        let is_known = matches!(name, "Credential" | "Signature" | "SignedHeaders");
        if !is_known || value.is_empty() || seen.contains(&name) {
            let message = format!(
                "'{}' is unknown, empty or there twice in Authorization header: '{}'.",
                shown(name),
                shown(header)
            );
            return Some(AuthError::incomplete(message));
        }
        seen.push(name);
    }
    None
}

/// What was sent, for a refusal: printable and not at length.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char })
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}
