//! Wildcards: `*` stands for any text, `?` for one character.

use super::MalformedPolicy;

/// A text with wildcards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern(String);

/// The pattern of an action: `*`, or `SERVICE:NAME`. Other services have actions too; they match
/// nothing here.
pub(super) fn of_action(text: &str) -> Result<Pattern, MalformedPolicy> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"*?-".contains(&byte);
    let is_action = match text.split_once(':') {
        Some((service, name)) => {
            let parts = [service, name];
            parts.iter().all(|part| !part.is_empty() && part.bytes().all(legal))
        }
        None => text == "*",
    };
    if is_action {
        return Ok(Pattern(text.to_owned()));
    }
    let why = format!("\"{text}\" is not an action such as kinesis:PutRecord");
    Err(MalformedPolicy::new("Action", why))
}

/// The pattern of a resource: `*`, or an ARN.
pub(super) fn of_resource(text: &str) -> Result<Pattern, MalformedPolicy> {
    if text.contains("${") {
        // It would match nothing, and a denial that matches nothing denies nothing.
        let why = format!("\"{text}\" has a variable, and variables are not supported");
        return Err(MalformedPolicy::new("Resource", why));
    }
    if text == "*" || text.starts_with("arn:") {
        return Ok(Pattern(text.to_owned()));
    }
    let why = format!("\"{text}\" is neither an ARN nor *");
    Err(MalformedPolicy::new("Resource", why))
}

impl Pattern {
    /// Whether a text is one of those that it stands for.
    pub(super) fn matches(&self, text: &str) -> bool {
        matches(self.0.as_bytes(), text.as_bytes(), |left, right| left == right)
    }

    /// The same in upper or lower case.
    pub(super) fn matches_in_any_case(&self, text: &str) -> bool {
        matches(self.0.as_bytes(), text.as_bytes(), |left, right| left.eq_ignore_ascii_case(&right))
    }
}

/// Goes back to the last `*` only: what an earlier one could take, the later one can take too. So
/// it takes steps as the product of the lengths at most, and both are short.
fn matches(pattern: &[u8], text: &[u8], is_same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut in_pattern, mut in_text) = (0, 0);
    // Behind the last star, and where what it took ends.
    let mut last_star = None;
    while in_text < text.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                in_pattern += 1;
                last_star = Some((in_pattern, in_text));
            }
            Some(&byte) if byte == b'?' || is_same(byte, text[in_text]) => {
                in_pattern += 1;
                in_text += 1;
            }
            _ => match last_star {
                Some((behind, end)) => {
                    (in_pattern, in_text) = (behind, end + 1);
                    last_star = Some((behind, end + 1));
                }
                None => return false,
            },
        }
    }
    pattern[in_pattern..].iter().all(|&byte| byte == b'*')
}
