//! The file of credentials: TOML, for the owner's eyes only.
//!
//! ```toml
//! [[credential]]
//! name = "orders-writer"
//! access_key = "AKORDERSWRITER"
//! secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
//! policies = [{ Version = "2012-10-17", Statement = [
//!     { Effect = "Allow", Action = "kinesis:Put*", Resource = "arn:aws:kinesis:*:*:stream/orders" },
//! ] }]
//! ```
//!
//! `certificates` may list the fingerprints of TLS certificates, beside the access key and its secret or
//! instead of them. A policy is a table, or a text with the same in JSON. It is read by hand: what a TOML library
//! says about a mistake shows the line with the mistake, and that line may be a secret.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anabranch_engine::limits::POLICY_BYTES_MAX;
use toml::{Table, Value};

use super::{AccessKey, Credential, CredentialsError, Entries, Secret};
use crate::aws::policy::Policy;
use crate::fingerprint::Fingerprint;

/// Bytes of the file at most: thousands of credentials with a policy each.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Credentials at most; it bounds what is in memory.
const CREDENTIALS_MAX: usize = 10_000;
/// Policies of a credential at most: the service attaches as many to a user.
const POLICIES_MAX: usize = 20;
/// Characters of an access key at most (IAM API: 128).
const ACCESS_KEY_CHARS_MAX: usize = 128;
/// Characters of a secret: the service's have 40. A shorter one could be found by trying.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=128;
/// Characters of a name at most (IAM API: 64).
const NAME_CHARS_MAX: usize = 64;

/// Certificates of a credential at most: an old one and a new one on each of some machines.
const CERTIFICATES_MAX: usize = 20;

/// The keys of a `[[credential]]` table.
const KEYS: [&str; 5] = ["name", "access_key", "secret", "certificates", "policies"];

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<Entries, CredentialsError> {
    let unreadable = |source| CredentialsError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // Asked of what is open: the name may have come to mean another file.
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CredentialsError::OpenToOthers { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    parse(&text).map_err(|message| CredentialsError::Malformed { path: path.to_owned(), message })
}

/// Reads a text; an error is in words, and holds no value of the text.
pub(super) fn parse(text: &str) -> Result<Entries, String> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("has more than {FILE_BYTES_MAX} bytes"));
    }
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        format!("line {line} is not TOML")
    })?;
    if let Some(key) = table.keys().find(|key| *key != "credential") {
        return Err(format!("unknown key `{}`; there are [[credential]] tables", shown(key)));
    }
    let credentials = table.get("credential").and_then(Value::as_array);
    let credentials = credentials.ok_or("there is no [[credential]] in it")?;
    if credentials.len() > CREDENTIALS_MAX {
        return Err(format!("has more than {CREDENTIALS_MAX} credentials"));
    }
    let mut entries = Entries::default();
    for (index, credential) in credentials.iter().enumerate() {
        let place = |why: String| format!("credential {}: {why}", index + 1);
        let table = credential.as_table().ok_or_else(|| place("is no table".to_owned()))?;
        enter(table, &mut entries).map_err(place)?;
    }
    if entries.count == 0 {
        return Err("there is no [[credential]] in it".to_owned());
    }
    Ok(entries)
}

/// Takes in one `[[credential]]`.
fn enter(table: &Table, entries: &mut Entries) -> Result<(), String> {
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("unknown key `{}`; there are {}", shown(key), KEYS.join(", ")));
    }
    let name = text(table, "name")?.ok_or("name is missing")?;
    // Those of an IAM user.
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    if !(1..=NAME_CHARS_MAX).contains(&name.len()) || !name.bytes().all(is_legal) {
        return Err(format!("name has 1 to {NAME_CHARS_MAX} of a-z A-Z 0-9 + = , . @ _ -"));
    }
    let policies = list(table, "policies", POLICIES_MAX)?.iter().enumerate();
    let policies = policies.map(|(index, policy)| {
        policy_of(policy).map_err(|why| format!("policy {}: {why}", index + 1))
    });
    let policies = policies.collect::<Result<_, _>>()?;
    let credential = Arc::new(Credential { name: name.to_owned(), policies });

    let certificates = list(table, "certificates", CERTIFICATES_MAX)?;
    for (index, certificate) in certificates.iter().enumerate() {
        let place = |why| format!("certificate {} {why}", index + 1);
        let fingerprint = certificate.as_str().ok_or_else(|| place("is no text".to_owned()))?;
        let fingerprint: Fingerprint =
            fingerprint.parse().map_err(|why| place(format!("{why}")))?;
        if entries.by_certificate.insert(fingerprint, Arc::clone(&credential)).is_some() {
            return Err(place("is listed twice".to_owned()));
        }
    }
    match (text(table, "access_key")?, text(table, "secret")?) {
        (None, None) if !certificates.is_empty() => {}
        (None, _) => return Err("access_key is missing".to_owned()),
        (_, None) => return Err("secret is missing".to_owned()),
        (Some(access_key), Some(secret)) => {
            let secret = secret_of(secret)?;
            let key = AccessKey { secret, credential };
            if entries.by_access_key.insert(access_key_of(access_key)?, key).is_some() {
                return Err("has the access_key of another one".to_owned());
            }
        }
    }
    entries.count += 1;
    Ok(())
}

fn text<'a>(table: &'a Table, key: &str) -> Result<Option<&'a str>, String> {
    match table.get(key) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key} is no text")),
        None => Ok(None),
    }
}

/// A list that may be left out: who has no policies is allowed what those of resources allow.
fn list<'a>(table: &'a Table, key: &str, max: usize) -> Result<&'a [Value], String> {
    match table.get(key) {
        Some(Value::Array(values)) if values.len() > max => {
            Err(format!("has more than {max} {key}"))
        }
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(format!("{key} is no list")),
        None => Ok(&[]),
    }
}

fn access_key_of(access_key: &str) -> Result<String, String> {
    // Neither what separates the parts of a scope nor those of a token.
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(1..=ACCESS_KEY_CHARS_MAX).contains(&access_key.len()) || !access_key.bytes().all(is_legal)
    {
        return Err(format!("access_key has 1 to {ACCESS_KEY_CHARS_MAX} of a-z A-Z 0-9 . _ -"));
    }
    Ok(access_key.to_owned())
}

fn secret_of(secret: &str) -> Result<Secret, String> {
    if !SECRET_CHARS.contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(format!(
            "secret has {} to {} visible ASCII characters and no spaces",
            SECRET_CHARS.start(),
            SECRET_CHARS.end()
        ));
    }
    Ok(Secret::new(secret))
}

fn policy_of(policy: &Value) -> Result<Policy, String> {
    let document = match policy {
        Value::String(text) if text.len() > POLICY_BYTES_MAX => {
            return Err(format!("has more than {POLICY_BYTES_MAX} bytes"));
        }
        // What it says about the place counts in the text of the policy.
        Value::String(text) => serde_json::from_str(text)
            .map_err(|why| format!("is no JSON (line {}, column {})", why.line(), why.column()))?,
        Value::Table(_) => {
            serde_json::to_value(policy).map_err(|_| "has a value that JSON lacks".to_owned())?
        }
        _ => return Err("is neither a table nor a text".to_owned()),
    };
    Policy::of_identity(&document).map_err(|why| why.to_string())
}

/// A key, which somebody may have mistaken for a place of a secret.
fn shown(key: &str) -> String {
    key.chars().take(16).filter(|char| !char.is_control()).collect()
}
