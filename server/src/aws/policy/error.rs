//! What is wrong with a policy.

use std::fmt;

/// A policy that is not one, or not one that is understood here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MalformedPolicy {
    /// Where, such as `Statement[0].Effect`; empty for the whole.
    place: String,
    why: String,
}

impl MalformedPolicy {
    pub(super) fn new(place: impl Into<String>, why: impl fmt::Display) -> Self {
        // What is not known may be of any length, and so may a value.
        let shown = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
        let short = |text: &str| text.chars().take(256).map(shown).collect();
        MalformedPolicy { place: short(&place.into()), why: short(&why.to_string()) }
    }

    /// The same, in an element of a document.
    #[must_use]
    pub(super) fn within(mut self, element: &str) -> Self {
        self.place = format!("{element}.{}", self.place);
        self
    }
}

impl fmt::Display for MalformedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{} ", self.place)?;
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for MalformedPolicy {}
