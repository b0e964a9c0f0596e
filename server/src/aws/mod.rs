//! What is Amazon's and not ours: the spelling of resource names, of times and of sequence numbers,
//! signatures and policies.

pub mod arn;
pub mod date;
pub mod policy;
pub mod sequence;
pub mod sigv4;
