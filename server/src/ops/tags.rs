//! Tags of streams and consumers: what they may hold, and how they change.
//!
//! A resource has at most 50. A key has 1 to 128 characters and a value up to 256, all of them
//! letters, digits, white space or one of `_ . / = + - @ :`. Keys that begin with `aws:` are the
//! service's own.

use std::collections::HashMap;

use anabranch_engine::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX};
use anabranch_engine::settings::Tags;
use anabranch_proto::v1;

use super::{Kind, OpError, Result};

/// The service's words for a character that no tag may have.
const BAD_CHARACTER: &str = "Some tags contain invalid characters. Valid characters: Unicode \
                             letters, digits, white space, _ . / = + - % @ :.";

/// Tags to be added, each of them checked. There may be none.
pub(super) fn checked(tags: HashMap<String, String>) -> Result<Tags> {
    let tags = tags.into_iter().collect();
    check(&tags)?;
    Ok(tags)
}

/// Refuses tags that no resource may have.
pub(crate) fn check(tags: &Tags) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(too_many("tags"));
    }
    tags.iter().try_for_each(|(key, value)| {
        check_key("tags", key)?;
        check_text("tags", value, 0, TAG_VALUE_CHARS_MAX)
    })
}

/// The same, where there must be one at least.
pub(super) fn some_checked(tags: HashMap<String, String>) -> Result<Tags> {
    if tags.is_empty() {
        return Err(OpError::out_of_range("tags", 0, 1, TAGS_MAX as u64));
    }
    checked(tags)
}

/// Keys of tags to be removed: 1 to 50, each of them checked.
pub(super) fn checked_keys(keys: Vec<String>) -> Result<Vec<String>> {
    if !(1..=TAGS_MAX).contains(&keys.len()) {
        return Err(OpError::out_of_range("tag_keys", keys.len() as u64, 1, TAGS_MAX as u64));
    }
    keys.iter().try_for_each(|key| check_key("tag_keys", key))?;
    Ok(keys)
}

/// Adds tags, or overwrites the values of those that are there. Where there would be too many,
/// nothing is changed.
pub(super) fn add(tags: &mut Tags, added: Tags) -> Result<()> {
    let new = added.keys().filter(|key| !tags.contains_key(*key)).count();
    if tags.len() + new > TAGS_MAX {
        return Err(too_many("tags"));
    }
    tags.extend(added);
    Ok(())
}

/// Removes tags; those that are not there are ignored.
pub(super) fn remove(tags: &mut Tags, keys: &[String]) {
    for key in keys {
        tags.remove(key);
    }
}

/// Tags as a reply lists them: by key.
pub(super) fn shown<'a>(tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<v1::Tag> {
    let show =
        |(key, value): (&String, &String)| v1::Tag { key: key.clone(), value: value.clone() };
    tags.into_iter().map(show).collect()
}

fn too_many(field: &'static str) -> OpError {
    let message = format!(
        "Failed to add tags because a given resource cannot have more than {TAGS_MAX} tags \
         associated with it."
    );
    let error = OpError::in_its_words(Kind::InvalidArgument, field, message);
    error.with("max", TAGS_MAX.to_string())
}

fn check_key(field: &'static str, key: &str) -> Result<()> {
    check_text(field, key, 1, TAG_KEY_CHARS_MAX)?;
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(OpError::invalid_text(field, key, "keys that begin with aws: are reserved"));
    }
    Ok(())
}

fn check_text(field: &'static str, text: &str, min: usize, max: usize) -> Result<()> {
    let chars = text.chars().count();
    if !(min..=max).contains(&chars) {
        let why = format_args!("has {chars} characters, allowed are {min} to {max}");
        return Err(OpError::invalid_text(field, text, why));
    }
    // The service names the percent sign as valid, and refuses it.
    let is_valid = |letter: char| {
        letter.is_alphanumeric() || letter.is_whitespace() || "_./=+-@:".contains(letter)
    };
    match text.chars().all(is_valid) {
        true => Ok(()),
        false => Err(OpError::in_its_words(Kind::InvalidArgument, field, BAD_CHARACTER)
            .with("value", super::error::shown(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(key: &str, value: &str) -> bool {
        checked(HashMap::from([(key.to_owned(), value.to_owned())])).is_ok()
    }

    #[test]
    fn tags_are_checked_at_their_borders() {
        assert!(is_taken("k", "") && is_taken(&"ä".repeat(128), &"ö".repeat(256)));
        assert!(
            !is_taken("", "v")
                && !is_taken(&"k".repeat(129), "v")
                && !is_taken("k", &"v".repeat(257))
        );
        assert!(is_taken("a b_./=+-@:9", "9") && is_taken("awsome", "aws:x"));
        for bad in ["k%", "k,", "k\0", "k\u{1f600}", "aws:k", "AWS:k"] {
            assert!(!is_taken(bad, "v"), "{bad}");
        }
        assert!(!is_taken("k", "a&b"));
    }

    #[test]
    fn the_fifty_first_tag_is_refused_and_an_overwritten_one_is_none() {
        let some = |keys: std::ops::Range<u32>| -> Tags {
            keys.map(|key| (key.to_string(), String::new())).collect()
        };
        let mut tags = some(0..50);
        assert!(add(&mut tags, some(49..51)).is_err());
        assert_eq!(tags, some(0..50));
        assert!(add(&mut tags, some(0..50)).is_ok());
        remove(&mut tags, &["49".to_owned(), "x".to_owned()]);
        assert!(add(&mut tags, some(60..61)).is_ok());
        assert!(checked(some(0..51).into_iter().collect()).is_err());
        assert!(some_checked(HashMap::new()).is_err());
        assert!(checked_keys(Vec::new()).is_err());
        assert!(checked_keys(vec!["k".to_owned(); 51]).is_err());
    }
}
