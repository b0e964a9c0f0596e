//! What the machine can do at best, without us and without gRPC.

mod disk;
mod socket;

pub(super) use disk::write_and_sync;
pub(super) use socket::one_way;
