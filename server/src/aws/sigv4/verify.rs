//! Whether a signature is that of the request, of somebody we know, and of now.
//!
//! The order of the questions is the service's: date, signed headers, algorithm, scope, access key,
//! signature. So the first thing that is wrong is told by the same exception.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::authorization::{AMZ_DATE, shown};
use super::keys::hmac;
use super::{
    ALGORITHM, AuthError, Authorization, Form, SignedRequest, SigningKeys, canonical, hex,
};
use crate::aws::date;

/// How far apart the clocks may be, in milliseconds.
const SKEW_MS: u64 = 5 * 60 * 1000;
/// For how long a presigned request may hold, in seconds: a week.
const EXPIRES_SECONDS_MAX: u64 = 604_800;
/// Headers that a signature may cover: SDKs sign a dozen.
const SIGNED_HEADERS_MAX: usize = 64;
/// Characters of an access key at most (IAM API: 128).
const ACCESS_KEY_CHARS_MAX: usize = 128;
/// The last part of a scope.
const TERMINATOR: &str = "aws4_request";
/// What a client says about its body.
const CONTENT_SHA256: &str = "x-amz-content-sha256";

impl Authorization<'_> {
    /// Refuses a signature that is not the request's, not for `service`, not of now, or not made
    /// with the secret that `secret_of` knows for its access key. Any region will do.
    pub fn verify<'s>(
        &self,
        request: &SignedRequest<'_>,
        service: &str,
        now_ms: u64,
        secret_of: impl FnOnce(&str) -> Option<&'s str>,
        keys: &SigningKeys,
    ) -> Result<(), AuthError> {
        if let Some(malformed) = &self.malformed {
            return Err(malformed.clone());
        }
        let signed_at = self.check_time(now_ms)?;
        self.check_signed_headers(request)?;
        if self.algorithm != ALGORITHM {
            return Err(AuthError::incomplete(format!(
                "Unsupported AWS 'algorithm': '{}' (only {ALGORITHM} for now). ",
                shown(&self.algorithm)
            )));
        }
        let scope = self.scope(service, &signed_at)?;
        let access_key = self.access_key();
        let secret = secret_of(access_key).ok_or(AuthError::UnrecognizedClient)?;
        check_body(request)?;
        let names = self.signed_headers.split(';');
        let canonical = canonical::request(request, names, self.form == Form::Query)
            .ok_or_else(AuthError::mismatch)?;
        let [day, region, service, terminator] = scope;
        let to_sign = format!(
            "{ALGORITHM}\n{signed_at}\n{day}/{region}/{service}/{terminator}\n{}",
            hex(&Sha256::digest(&canonical))
        );
        let key = keys.key(&self.credential, secret, scope);
        let ours = hex(&hmac(&key, to_sign.as_bytes()));
        if !bool::from(ours.as_bytes().ct_eq(self.signature.as_bytes())) {
            return Err(AuthError::mismatch());
        }
        keys.keep(&self.credential, key);
        Ok(())
    }

    /// When it was signed, as strings to sign have it, unless that is too long ago or to come.
    fn check_time(&self, now_ms: u64) -> Result<String, AuthError> {
        let parsed = date::parse_basic(&self.date).or_else(|| {
            // The `Date` header has a spelling of its own in HTTP.
            date::parse_http(&self.date).filter(|_| self.form == Form::Header)
        });
        let signed_ms = parsed.ok_or_else(|| {
            AuthError::incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{}'. See \
                 http://en.wikipedia.org/wiki/ISO_8601",
                shown(&self.date)
            ))
        })?;
        let (signed_at, now) = (date::basic(signed_ms), date::basic(now_ms));
        let (earliest, latest) = (now_ms.saturating_sub(SKEW_MS), now_ms.saturating_add(SKEW_MS));
        if signed_ms > latest {
            let latest = date::basic(latest);
            return Err(AuthError::invalid(format!(
                "Signature not yet current: {signed_at} is still later than {latest} ({now} + 5 \
                 min.)"
            )));
        }
        match &self.expires {
            Some(expires) => {
                let seconds = expires.parse().ok().filter(|seconds| {
                    let is_plain = expires.bytes().all(|byte| byte.is_ascii_digit());
                    is_plain && (1..=EXPIRES_SECONDS_MAX).contains(seconds)
                });
                let seconds = seconds.ok_or_else(|| {
                    AuthError::invalid(format!(
                        "X-Amz-Expires must be a number of seconds from 1 to {EXPIRES_SECONDS_MAX}"
                    ))
                })?;
                let expires_ms = signed_ms + seconds * 1000;
                if expires_ms < now_ms {
                    let expires = date::basic(expires_ms);
                    return Err(AuthError::invalid(format!(
                        "Signature expired: {expires} is now earlier than {now}"
                    )));
                }
            }
            None if signed_ms < earliest => {
                let earliest = date::basic(earliest);
                return Err(AuthError::invalid(format!(
                    "Signature expired: {signed_at} is now earlier than {earliest} ({now} - 5 \
                     min.)"
                )));
            }
            None => {}
        }
        Ok(signed_at)
    }

    /// Refuses a signature that leaves out what it must cover.
    fn check_signed_headers(&self, request: &SignedRequest<'_>) -> Result<(), AuthError> {
        let names = || self.signed_headers.split(';');
        if names().count() > SIGNED_HEADERS_MAX {
            let message = format!("More than {SIGNED_HEADERS_MAX} headers are signed.");
            return Err(AuthError::invalid(message));
        }
        let is_upper = self.signed_headers.bytes().any(|byte| byte.is_ascii_uppercase());
        if is_upper || !names().is_sorted_by(|left, right| left < right) {
            let message = "'SignedHeaders' must be in lower case, sorted, and each there once.";
            return Err(AuthError::invalid(message));
        }
        let is_signed = |name: &str| names().any(|signed| signed == name);
        if !is_signed("host") {
            let message =
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
            return Err(AuthError::invalid(message));
        }
        let has_amz_date = request.headers.contains_key(AMZ_DATE);
        let is_dated = self.form == Form::Query || has_amz_date || is_signed("date");
        let must_be_signed =
            |name: &str| name.starts_with("x-amz-") || (name == "date" && !is_dated);
        let mut headers = request.headers.keys().map(|name| name.as_str());
        if let Some(name) = headers.find(|name| must_be_signed(name) && !is_signed(name)) {
            return Err(AuthError::invalid(format!(
                "'{}' must be a 'SignedHeader' in the AWS Authorization.",
                shown(name)
            )));
        }
        let decides = |name: &&str| {
            name.starts_with("x-amz-") || matches!(*name, "host" | "date" | "content-type")
        };
        let is_twice = |name: &&str| request.headers.get_all(*name).iter().nth(1).is_some();
        if let Some(name) = names().filter(decides).find(is_twice) {
            let message = format!("Found more than one '{}' header.", shown(name));
            return Err(AuthError::invalid(message));
        }
        Ok(())
    }

    /// Day, region, service and terminator.
    fn scope(&self, service: &str, signed_at: &str) -> Result<[&str; 4], AuthError> {
        let parts: Vec<&str> = self.credential.splitn(6, '/').collect();
        let &[access_key, day, region, scoped_service, terminator] = parts.as_slice() else {
            return Err(AuthError::incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got '{}'",
                shown(&self.credential)
            )));
        };
        if access_key.is_empty() || access_key.len() > ACCESS_KEY_CHARS_MAX {
            return Err(AuthError::UnrecognizedClient);
        }
        let mut wrong = Vec::new();
        let is_region = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if region.is_empty() || !region.bytes().all(is_region) {
            let region = shown(region);
            wrong.push(format!("Credential should be scoped to a valid region, not '{region}'."));
        }
        if scoped_service != service {
            wrong.push(format!("Credential should be scoped to correct service: '{service}'."));
        }
        if terminator != TERMINATOR {
            wrong.push(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'.",
                shown(terminator)
            ));
        }
        let signed_on = &signed_at[..8];
        if day != signed_on {
            wrong.push(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{}' != '{signed_on}', from '{signed_at}'.",
                shown(day)
            ));
        }
        if !wrong.is_empty() {
            return Err(AuthError::invalid(wrong.join(" ")));
        }
        Ok([day, region, scoped_service, terminator])
    }
}

/// Refuses what a client says about its body where it is not so.
fn check_body(request: &SignedRequest<'_>) -> Result<(), AuthError> {
    let Some(claimed) = request.headers.get(CONTENT_SHA256) else { return Ok(()) };
    let claimed = claimed.as_bytes();
    if claimed == hex(&request.body_sha256).as_bytes() {
        return Ok(());
    }
    let message = if claimed == b"UNSIGNED-PAYLOAD" || claimed.starts_with(b"STREAMING-") {
        "The body must be signed as a whole: 'x-amz-content-sha256' may be neither \
         UNSIGNED-PAYLOAD nor STREAMING-..."
    } else {
        "The provided 'x-amz-content-sha256' header does not match what was computed."
    };
    Err(AuthError::invalid(message))
}
