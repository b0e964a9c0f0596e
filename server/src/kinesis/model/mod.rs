//! The API model: what every operation takes, and how a request is held against it.
//!
//! ```text
//!   body --tokens--> types (what it should be, and no more of it) --> constraints --> Members
//! ```
//!
//! [`input`] is the model's data, as the public one of the SDKs has it; tests hold the two
//! together. [`read`] reads a body in one pass: what the model does not know is skipped, a member
//! that is null is absent, and of a list or a map that is too long no more is kept than shows it.
//! Texts and their order are those recorded from the service.

mod constraints;
mod input;
mod pattern;
mod shape;
mod types;

pub use self::input::input;
pub use self::pattern::Pattern;
pub use self::shape::{Member, Shape};
use super::cbor;
use super::json;
use super::token::Source;
use super::value::{Encoding, Members};
use crate::metrics::Operation;

/// Why a body is no request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is empty, not in its encoding, or nothing with members: a `SerializationException` without
    /// a text, which comes before the question who asks.
    Malformed,
    /// A member is of another type than the model has: a `SerializationException`, in these words.
    Serialization(String),
    /// Members are missing or break their constraints: a `ValidationException`, in these words.
    Validation(String),
}

/// What a request of an operation says. Of operations that the API does not have nothing is known.
pub fn read(operation: Operation, encoding: Encoding, body: &[u8]) -> Result<Members, Fault> {
    let shape = input(operation).unwrap_or_default();
    let members = match encoding {
        Encoding::Json => typed(json::Reader::new(body).map_err(|_| Fault::Malformed)?, shape)?,
        Encoding::Cbor => typed(cbor::Reader::new(body), shape)?,
    };
    constraints::check(&members, shape).map_err(Fault::Validation)?;
    Ok(members)
}

fn typed<'b>(mut source: impl Source<'b>, shape: &'static [Member]) -> Result<Members, Fault> {
    match types::body(&mut source, shape) {
        Ok(members) if source.is_done() => Ok(members),
        Ok(_) | Err(types::Stop::Malformed) => Err(Fault::Malformed),
        // That the rest is malformed would have come first.
        Err(types::Stop::Type(text)) => {
            while !source.is_done() {
                source.next().map_err(|_| Fault::Malformed)?;
            }
            Err(Fault::Serialization(text))
        }
    }
}

#[cfg(test)]
mod tests;
