//! Resource policies: what a text must be to be attached to a stream or a consumer.
//!
//! A policy is stored as it was put. [`crate::aws::policy`] reads it, here when it is put and later
//! when somebody asks; so none is stored that is not understood.

use std::collections::HashMap;
use std::sync::Arc;

use anabranch_engine::limits::POLICY_BYTES_MAX;
use parking_lot::Mutex;

use super::{Kind, OpError, Result};
use crate::aws::policy::Policy;

/// Refuses a text that is no policy, or none that is understood.
pub(super) fn check(text: &str) -> Result<()> {
    if text.len() > POLICY_BYTES_MAX {
        let bytes = text.len();
        let message = format!("policy: has {bytes} bytes, at most {POLICY_BYTES_MAX} are allowed");
        return Err(OpError::in_its_words(Kind::LimitExceeded, "policy", message)
            .with("max", POLICY_BYTES_MAX.to_string()));
    }
    match Policy::of_resource(text) {
        Ok(_) => Ok(()),
        Err(why) => Err(OpError::invalid("policy", why)),
    }
}

/// Policies that are kept as they were read, at most. One that is not is read anew at every call.
/// They have at most 20 KiB each, so all of them some MiB.
const READ_MAX: usize = 256;

/// The policies of resources as they were read, by their texts.
#[derive(Default)]
pub(super) struct Policies {
    read: Mutex<HashMap<String, Attached>>,
}

/// The policy of a resource, read. One that a later program may have put need not be understood.
#[derive(Clone)]
pub(super) struct Attached(Option<Arc<Policy>>);

/// A policy that this program does not understand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotUnderstood;

impl Policies {
    /// Reads the text of a policy, once for all calls.
    pub(super) fn read(&self, text: &str) -> Attached {
        if let Some(attached) = self.read.lock().get(text) {
            return attached.clone();
        }
        let attached = Attached(Policy::of_resource(text).ok().map(Arc::new));
        let mut read = self.read.lock();
        if read.len() >= READ_MAX {
            // Those of resources that are gone are among them.
            read.clear();
        }
        read.insert(text.to_owned(), attached.clone());
        attached
    }
}

impl Attached {
    /// What it says.
    pub(super) fn policy(&self) -> Result<&Policy, NotUnderstood> {
        self.0.as_deref().ok_or(NotUnderstood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "kinesis:Get*"}"#;

    fn policy(statement: &str) -> String {
        format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#)
    }

    #[test]
    fn policies_of_either_shape_are_taken() {
        for statement in [
            STATEMENT,
            &format!("[{STATEMENT}, {STATEMENT}]"),
            r#"[{"Sid": "1", "Effect": "Deny", "Principal": {"AWS": ["123456789012"]},
                "Action": ["kinesis:PutRecord"], "Resource": "*"}]"#,
        ] {
            assert!(check(&policy(statement)).is_ok(), "{statement}");
        }
    }

    #[test]
    fn what_is_malformed_is_named() {
        let without = |part: &str| STATEMENT.replace(part, "X");
        for (text, named) in [
            (String::new(), "no JSON object"),
            ("[]".to_owned(), "no JSON object"),
            ("[".repeat(10_000), "no JSON object"),
            ("{}".to_owned(), "Version"),
            (policy(STATEMENT).replace("2012", "2013"), "Version"),
            (policy("7"), "Statement"),
            (policy("[]"), "Statement"),
            (policy("[7]"), "Statement[0]"),
            (policy(&format!("[{STATEMENT}, {}]", without("Effect"))), "Statement[1].Effect"),
            (policy(&without("Allow")), "Statement[0].Effect"),
            (policy(&without("Action")), "Statement[0].X is not supported"),
            (policy(&STATEMENT.replace('}', r#", "Condition": {}}"#)), "Statement[0].Condition"),
            (policy(&STATEMENT.replace(r#""*""#, r#""me""#)), "Statement[0].Principal"),
        ] {
            let error = check(&text).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidArgument);
            assert!(error.message.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_policy_has_at_most_20_kib() {
        let filled = |bytes: usize| {
            let policy = policy(STATEMENT);
            format!("{policy}{}", " ".repeat(bytes - policy.len()))
        };
        assert!(check(&filled(20 << 10)).is_ok());
        assert_eq!(check(&filled((20 << 10) + 1)).unwrap_err().kind, Kind::LimitExceeded);
    }
}
