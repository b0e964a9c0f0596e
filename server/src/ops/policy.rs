//! Resource policies: what a text must be to be one.
//!
//! A policy is stored as it was put. Only its form is checked here; what it says is for whoever
//! decides about signed requests.

use anabranch_engine::limits::POLICY_BYTES_MAX;
use serde_json::{Map, Value};

use super::{Kind, OpError, Result};

/// The versions of the policy language.
const VERSIONS: [&str; 2] = ["2012-10-17", "2008-10-17"];

/// Refuses a text that is no policy: a JSON object with Version and Statement, which is a
/// statement or a list of them, each with Effect, Action and Principal.
pub(super) fn check(text: &str) -> Result<()> {
    if text.len() > POLICY_BYTES_MAX {
        let bytes = text.len();
        let message = format!("policy: has {bytes} bytes, at most {POLICY_BYTES_MAX} are allowed");
        return Err(OpError::in_its_words(Kind::LimitExceeded, "policy", message)
            .with("max", POLICY_BYTES_MAX.to_string()));
    }
    malformed_part(text).map_or(Ok(()), |why| Err(OpError::invalid("policy", why)))
}

/// What of a text is not as a policy has it.
fn malformed_part(text: &str) -> Option<String> {
    let policy: Map<String, Value> = match serde_json::from_str(text) {
        Ok(policy) => policy,
        Err(why) => return Some(format!("is no JSON object: {why}")),
    };
    let version = policy.get("Version").and_then(Value::as_str);
    if !version.is_some_and(|version| VERSIONS.contains(&version)) {
        return Some(format!("Version is not one of {}", VERSIONS.join(" and ")));
    }
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.as_slice(),
        Some(statement @ Value::Object(_)) => std::slice::from_ref(statement),
        _ => return Some("Statement is neither a statement nor a list of them".to_owned()),
    };
    let mut statements = statements.iter().enumerate();
    statements.find_map(|(index, statement)| {
        let Some(statement) = statement.as_object() else {
            return Some(format!("Statement[{index}] is no object"));
        };
        let part = malformed_statement(statement)?;
        Some(format!("Statement[{index}].{part}"))
    })
}

fn malformed_statement(statement: &Map<String, Value>) -> Option<&'static str> {
    let either = |name: &str, opposite: &str| {
        // One of the two, and not both.
        let (is, is_not) = (statement.get(name), statement.get(opposite));
        is.xor(is_not)
    };
    let effect = statement.get("Effect").and_then(Value::as_str);
    if !matches!(effect, Some("Allow" | "Deny")) {
        return Some("Effect is neither Allow nor Deny");
    }
    if !either("Action", "NotAction").is_some_and(is_text_or_texts) {
        return Some("Action is neither a text nor a list of texts");
    }
    let is_principal = |value: &Value| match value {
        Value::String(text) => text == "*",
        Value::Object(kinds) => !kinds.is_empty() && kinds.values().all(is_text_or_texts),
        _ => false,
    };
    if !either("Principal", "NotPrincipal").is_some_and(is_principal) {
        return Some("Principal is neither \"*\" nor an object of principals");
    }
    None
}

fn is_text_or_texts(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(texts) => !texts.is_empty() && texts.iter().all(Value::is_string),
        _ => false,
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
            r#"[{"Sid": "1", "Effect": "Deny", "NotPrincipal": {"AWS": ["123456789012"]},
                "NotAction": ["kinesis:PutRecord"], "Resource": "*"}]"#,
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
            (policy(&without("Action")), "Statement[0].Action"),
            (policy(&without("Principal")), "Statement[0].Principal"),
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
