//! What is Amazon's and not ours: the spelling of resource names and of times.

pub mod arn;
pub mod date;
