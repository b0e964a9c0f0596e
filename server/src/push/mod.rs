//! Push: subscriptions that hand out a shard's records as they become durable.
//!
//! A [`Registry`] knows who is subscribed, so that a consumer reads a shard once; a
//! [`Subscription`] is one reader's way through the log. Nothing is queued for it: the next
//! event is read when it is asked for, so a slow subscriber is behind in the log and not in
//! our memory.

mod registry;
mod subscription;

pub use registry::{Ended, Lease, Registry};
pub(crate) use subscription::Source;
pub use subscription::{Event, Subscription};
