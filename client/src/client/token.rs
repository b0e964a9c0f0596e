//! Signing in: an access key and its secret, sent along with every call.

use std::ffi::OsString;
use std::net::IpAddr;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::error::{Error, Result};

/// The variable with the access key.
const ACCESS_KEY: &str = "ANABRANCH_ACCESS_KEY";
/// The variable with the secret.
const SECRET_KEY: &str = "ANABRANCH_SECRET_KEY";

/// What is sent to sign in, if anything is. It is not shown when it is printed.
#[derive(Clone, Default, Debug)]
pub struct Token(Option<MetadataValue<Ascii>>);

impl Token {
    /// An access key and its secret.
    pub(super) fn new(access_key: &str, secret: &str) -> Result<Token> {
        let value = format!("Bearer {access_key}:{secret}");
        let mut value: MetadataValue<Ascii> = value.parse().map_err(|_| {
            Error::invalid("credentials", "access key and secret must be visible ASCII".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(Token(Some(value)))
    }

    /// What the environment says, of which `variable` looks one up. A variable that is set to
    /// nothing counts as not set.
    pub(super) fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Token> {
        let text = |name| variable(name).filter(|value| !value.is_empty());
        let half = |name: &'static str, other| {
            Err(Error::invalid(
                name,
                format!("{name} is not set, and {other} is; signing in needs both"),
            ))
        };
        match (text(ACCESS_KEY), text(SECRET_KEY)) {
            (None, None) => Ok(Token::default()),
            (Some(access_key), Some(secret)) => {
                Token::new(&access_key.to_string_lossy(), &secret.to_string_lossy())
            }
            (None, Some(_)) => half(ACCESS_KEY, SECRET_KEY),
            (Some(_), None) => half(SECRET_KEY, ACCESS_KEY),
        }
    }

    /// Whether a secret is sent to a server at `url` in a way that others on its path can read.
    pub(super) fn is_exposed(&self, url: &str) -> bool {
        let Some(address) = url.strip_prefix("http://").filter(|_| self.0.is_some()) else {
            return false;
        };
        let host = address.split('/').next().unwrap_or_default();
        let host = match host.rsplit_once(':') {
            // An IPv6 address has colons of its own, within brackets.
            Some((host, port)) if !port.ends_with(']') => host,
            _ => host,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Token> {
        Token::from_environment(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_environment_has_both_halves_or_none() {
        let mut token = from(&[(ACCESS_KEY, "AK"), (SECRET_KEY, "s/e+c=r:et")]).unwrap();
        assert!(!format!("{token:?}").contains("s/e"));
        let request = token.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer AK:s/e+c=r:et");
        let mut none = from(&[(ACCESS_KEY, "")]).unwrap();
        assert!(none.call(Request::new(())).unwrap().metadata().is_empty());
        for (set, missing) in [(ACCESS_KEY, SECRET_KEY), (SECRET_KEY, ACCESS_KEY)] {
            let text = from(&[(set, "x")]).unwrap_err().to_string();
            assert!(text.contains(missing), "{text}");
        }
        assert!(from(&[(ACCESS_KEY, "a\n"), (SECRET_KEY, "b")]).is_err());
    }

    #[test]
    fn a_secret_in_the_clear_is_exposed_beyond_loopback() {
        let token = Token::new("AK", "secret").unwrap();
        for url in ["http://10.0.0.1:4567", "http://example.org", "http://[2001:db8::1]:4567"] {
            assert!(token.is_exposed(url), "{url}");
            assert!(!Token::default().is_exposed(url), "{url}");
        }
        for url in [
            "http://127.0.0.1:4567",
            "http://localhost",
            "http://[::1]:4567/",
            "https://example.org:4567",
        ] {
            assert!(!token.is_exposed(url), "{url}");
        }
    }
}
