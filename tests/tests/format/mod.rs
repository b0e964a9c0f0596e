//! The bytes on disk: written by hand from `engine/FORMAT.md`, cut and flipped everywhere, and
//! held as golden files.

mod cuts_and_flips;
mod golden;
mod recovery_table;
mod wire;
