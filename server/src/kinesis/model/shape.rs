//! What the API model says of a value.

use super::pattern::Pattern;

/// A member of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name in requests.
    pub name: &'static str,
    /// Whether a request without it is refused.
    pub is_required: bool,
    /// What it is.
    pub shape: &'static Shape,
}

impl Member {
    /// A member that may be absent.
    pub(super) const fn optional(name: &'static str, shape: &'static Shape) -> Member {
        Member { name, is_required: false, shape }
    }

    /// A member that may not.
    pub(super) const fn required(name: &'static str, shape: &'static Shape) -> Member {
        Member { name, is_required: true, shape }
    }
}

/// What a value may be. Lengths are characters of text, bytes of a blob, and values of a list or
/// map.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Members with names.
    Structure(&'static [Member]),
    /// Text.
    Text {
        /// Its least length, if it has one.
        min: Option<usize>,
        /// Its greatest.
        max: Option<usize>,
        /// What it must look like.
        pattern: Option<Pattern>,
    },
    /// One of these texts, in the order in which the service lists them.
    Enum(&'static [&'static str]),
    /// A whole number of 32 bits.
    Integer {
        /// The least, if there is one.
        min: Option<i64>,
        /// The greatest.
        max: Option<i64>,
    },
    /// A truth value.
    Boolean,
    /// Bytes.
    Blob {
        /// How many at most.
        max: usize,
    },
    /// A time.
    Timestamp,
    /// Values in their order.
    List {
        /// What each is.
        of: &'static Shape,
        /// How many at least.
        min: usize,
        /// And at most.
        max: usize,
    },
    /// Text by text.
    Map {
        /// What a key is.
        key: &'static Shape,
        /// What a value is.
        value: &'static Shape,
        /// How many at least.
        min: usize,
        /// And at most.
        max: usize,
    },
}

impl Shape {
    /// Text of these lengths.
    pub(super) const fn text(min: usize, max: usize) -> Shape {
        Shape::Text { min: Some(min), max: Some(max), pattern: None }
    }

    /// Text of these lengths that looks like this.
    pub(super) const fn like(min: usize, max: usize, pattern: Pattern) -> Shape {
        Shape::Text { min: Some(min), max: Some(max), pattern: Some(pattern) }
    }

    /// Text that looks like this.
    pub(super) const fn looks(pattern: Pattern) -> Shape {
        Shape::Text { min: None, max: None, pattern: Some(pattern) }
    }

    /// A whole number in this range.
    pub(super) const fn integer(min: i64, max: i64) -> Shape {
        Shape::Integer { min: Some(min), max: Some(max) }
    }

    /// A whole number of at least this.
    pub(super) const fn at_least(min: i64) -> Shape {
        Shape::Integer { min: Some(min), max: None }
    }
}
