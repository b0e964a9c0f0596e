//! The protobuf encoding of the record paths, read and written by hand.
//!
//! A put of a hundred records, decoded by generated code, is a tree of a hundred keys on the
//! heap before the first record is looked at. Here [`read`] walks the bytes where they arrived
//! and lends out their parts, and [`write`] puts answers straight into a buffer. Everything
//! else on the API goes through the generated types.
//!
//! Both are held against prost by tests: what one accepts the other accepts, with the same
//! content. The one difference is intended: groups, which proto3 cannot declare and no proto3
//! encoder writes, are refused even where they could be skipped.

pub mod read;
pub mod records;
pub mod write;
