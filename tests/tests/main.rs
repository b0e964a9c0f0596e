//! The tests that cross the borders of a module: one binary, so that it links once.
//!
//! - `simulation`: random operations on the engine over a disk that forgets, against a model.
//! - `damage`: flipped bits, cut files, stale bytes and lost metadata, on purpose.
//! - `fuzz`: inputs of all kinds that are kept, and changes to them, through what decodes them.
//! - `format`: golden files, the recovery table, every cut and every flipped bit.
//! - `engine`: the engine with its threads over a real directory.
//! - `end_to_end`: the program as a process, and its API as any client has it.

mod damage;
mod end_to_end;
mod engine;
mod format;
mod fuzz;
mod simulation;
