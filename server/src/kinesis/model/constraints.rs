//! Whether members are there that must be, and keep to their constraints.
//!
//! ```text
//!   2 validation errors detected: Value null at 'records' failed to satisfy constraint: Member
//!   must not be null; Value '' at 'streamName' failed to ...
//! ```

use std::fmt::Write as _;

use super::shape::{Member, Shape};
use super::types::shown;
use crate::kinesis::value::{Members, Value};

/// Faults that are told of one request.
const FAULTS_MAX: usize = 10;

/// Holds members against the model; an error is the text that the service has for what is wrong.
pub(super) fn check(members: &Members, shape: &[Member]) -> Result<(), String> {
    let mut faults = Faults::default();
    structure(members, shape, None, &mut faults);
    match faults.texts.len() {
        0 => Ok(()),
        count => {
            let errors = if count == 1 { "error" } else { "errors" };
            let texts = faults.texts.join("; ");
            Err(format!("{count} validation {errors} detected: {texts}"))
        }
    }
}

#[derive(Default)]
struct Faults {
    texts: Vec<String>,
}

impl Faults {
    fn is_full(&self) -> bool {
        self.texts.len() >= FAULTS_MAX
    }

    fn add(&mut self, value: Option<&Value>, path: &Path<'_>, constraint: &str) {
        if self.is_full() {
            return;
        }
        let value = match value {
            Some(value) => format!("'{}'", shown(&in_words(value))),
            None => "null".to_owned(),
        };
        let path = path.text();
        self.texts
            .push(format!("Value {value} at '{path}' failed to satisfy constraint: {constraint}"));
    }
}

/// Where a value stands.
struct Path<'p> {
    above: Option<&'p Path<'p>>,
    step: Step,
}

#[derive(Clone, Copy)]
enum Step {
    /// A member of a structure.
    Member(&'static str),
    /// A value of a list, from 1.
    Index(usize),
}

impl Path<'_> {
    /// For example `records.1.member.partitionKey`.
    fn text(&self) -> String {
        let mut text = match self.above {
            Some(above) => above.text() + ".",
            None => String::new(),
        };
        match self.step {
            Step::Member(name) => {
                text.push(name.as_bytes()[0].to_ascii_lowercase().into());
                text.push_str(&name[1..]);
            }
            Step::Index(index) => write!(text, "{index}.member").expect("a String takes all"),
        }
        text
    }
}

fn structure(members: &Members, shape: &[Member], above: Option<&Path<'_>>, faults: &mut Faults) {
    for member in shape {
        if faults.is_full() {
            return;
        }
        let path = Path { above, step: Step::Member(member.name) };
        match members.get(member.name) {
            Some(value) => check_value(value, member.shape, &path, faults),
            None if member.is_required => faults.add(None, &path, "Member must not be null"),
            None => {}
        }
    }
}

fn check_value(value: &Value, shape: &'static Shape, path: &Path<'_>, faults: &mut Faults) {
    for constraint in Constraint::of(shape) {
        if !constraint.is_kept(value) {
            faults.add(Some(value), path, &constraint.text());
        }
    }
    match (shape, value) {
        (Shape::Structure(members), Value::Map(value)) => {
            structure(value, members, Some(path), faults);
        }
        (Shape::List { of, .. }, Value::List(values)) => {
            if let Shape::Structure(members) = of {
                for (index, value) in values.iter().enumerate() {
                    let path = Path { above: Some(path), step: Step::Index(index + 1) };
                    if let Value::Map(value) = value {
                        structure(value, members, Some(&path), faults);
                    }
                }
            } else if !values.iter().all(|value| keeps(value, of)) {
                let text = format!("Member must satisfy constraint: [{}]", texts(of));
                faults.add(Some(value), path, &text);
            }
        }
        (Shape::Map { key, value: of, .. }, Value::Map(entries)) => {
            if !entries.iter().all(|(name, _)| keeps(&Value::from(name), key)) {
                let text = format!("Map keys must satisfy constraint: [{}]", texts(key));
                faults.add(Some(value), path, &text);
            }
            if !entries.iter().all(|(_, value)| keeps(value, of)) {
                let text = format!("Map value must satisfy constraint: [{}]", texts(of));
                faults.add(Some(value), path, &text);
            }
        }
        _ => {}
    }
}

fn keeps(value: &Value, shape: &'static Shape) -> bool {
    Constraint::of(shape).all(|constraint| constraint.is_kept(value))
}

/// The constraints of the values of a list or map, which are told together.
fn texts(shape: &'static Shape) -> String {
    let mut texts: Vec<_> = Constraint::of(shape).map(|constraint| constraint.text()).collect();
    // There the upper bound comes first.
    texts.reverse();
    texts.join(", ")
}

/// What the service checks by itself, in the order in which it does.
enum Constraint {
    Pattern(super::Pattern),
    LengthMin(usize),
    LengthMax(usize),
    ValueMin(i64),
    ValueMax(i64),
    Enum(&'static [&'static str]),
}

impl Constraint {
    fn of(shape: &'static Shape) -> impl Iterator<Item = Constraint> {
        use Constraint::{Enum, LengthMax, LengthMin, Pattern, ValueMax, ValueMin};
        let all = match *shape {
            Shape::Text { min, max, pattern } => {
                [pattern.map(Pattern), min.map(LengthMin), max.map(LengthMax)]
            }
            Shape::Enum(set) => [Some(Enum(set)), None, None],
            Shape::Integer { min, max } => [min.map(ValueMin), max.map(ValueMax), None],
            Shape::Blob { max } => [Some(LengthMax(max)), None, None],
            Shape::List { min, max, .. } | Shape::Map { min, max, .. } => {
                [Some(LengthMin(min)), Some(LengthMax(max)), None]
            }
            Shape::Structure(_) | Shape::Boolean | Shape::Timestamp => [None, None, None],
        };
        all.into_iter().flatten()
    }

    fn is_kept(&self, value: &Value) -> bool {
        match (self, value) {
            (Constraint::Pattern(pattern), Value::Text(text)) => pattern.is_match(text),
            (Constraint::LengthMin(min), value) => len(value) >= *min,
            (Constraint::LengthMax(max), value) => len(value) <= *max,
            (Constraint::ValueMin(min), Value::Int(number)) => number >= min,
            (Constraint::ValueMax(max), Value::Int(number)) => number <= max,
            (Constraint::Enum(set), Value::Text(text)) => set.contains(&text.as_str()),
            // What is of another type has been refused before.
            _ => true,
        }
    }

    fn text(&self) -> String {
        match self {
            Constraint::Pattern(pattern) => {
                format!("Member must satisfy regular expression pattern: {}", pattern.text())
            }
            Constraint::LengthMin(min) => {
                format!("Member must have length greater than or equal to {min}")
            }
            Constraint::LengthMax(max) => {
                format!("Member must have length less than or equal to {max}")
            }
            Constraint::ValueMin(min) => {
                format!("Member must have value greater than or equal to {min}")
            }
            Constraint::ValueMax(max) => {
                format!("Member must have value less than or equal to {max}")
            }
            Constraint::Enum(set) => {
                format!("Member must satisfy enum value set: [{}]", set.join(", "))
            }
        }
    }
}

fn len(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.chars().count(),
        Value::Blob(bytes) => bytes.len(),
        Value::List(values) => values.len(),
        Value::Map(entries) => entries.len(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Time(_) => 0,
    }
}

/// A value as the service, which is written in Java, shows it.
fn in_words(value: &Value) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) | Value::Time(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => shown(text).into_owned(),
        Value::Blob(bytes) => {
            let len = bytes.len();
            format!("java.nio.HeapByteBuffer[pos=0 lim={len} cap={len}]")
        }
        Value::List(values) => {
            let values: Vec<_> = values.iter().map(in_words).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Map(entries) => {
            let entry = |(name, value): (&str, &Value)| format!("{name}={}", in_words(value));
            let entries: Vec<_> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
