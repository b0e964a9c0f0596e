//! engine
#![deny(unsafe_code)]
pub mod catalog;
pub mod clock;
pub mod entropy;
pub mod error;
pub mod fs;
pub mod hash_key;
pub mod ids;
pub mod limits;
pub mod record;
pub mod sequence;
