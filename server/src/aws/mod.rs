//! What is Amazon's and not ours: the spelling of resource names.

pub mod arn;
