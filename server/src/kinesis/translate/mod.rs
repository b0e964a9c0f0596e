//! From the members of a request to the request of an operation, and from its reply back.
//!
//! The API model has checked names, types and limits by then ([`super::model`]): what is left is to
//! say the same in the types of `anabranch.v1`. Operations that carry records or their numbers
//! have files of their own beside this folder.

mod account;
mod consumers;
mod monitoring;
mod policies;
mod records;
mod shards;
mod streams;
mod tags;

pub(super) use self::shards::child_shards;
use super::value::Members;
use crate::ops::Call;

/// A request that can be read from the members of the API's.
pub(super) trait FromMembers: Call {
    /// The request that these members make.
    fn from_members(members: Members) -> Self;
}

/// A reply that can be written as the API's members. One without any is an empty body.
pub(super) trait IntoMembers {
    /// The members of the reply.
    fn into_members(self) -> Members;
}

/// Replies that say nothing but that it was done.
macro_rules! empty {
    ($($reply:ident,)*) => {
        $(impl IntoMembers for anabranch_proto::v1::$reply {
            fn into_members(self) -> Members {
                Members::new()
            }
        })*
    };
}
use empty;

/// The stream that a request names.
fn stream_name(members: &mut Members) -> String {
    text(members, "StreamName")
}

/// The stream that a request names by its ARN.
fn stream_arn(members: &mut Members) -> String {
    text(members, "StreamARN")
}

/// A text, which is empty where there is none.
fn text(members: &mut Members, name: &str) -> String {
    members.take_text(name).unwrap_or_default()
}

/// A count. Those that no model bounds may be beyond what any operation takes, which then says so.
fn count(members: &Members, name: &str) -> Option<u32> {
    let number = members.int(name)?;
    Some(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

/// A time in milliseconds. There is nothing before 1970.
fn time_ms(members: &Members, name: &str) -> Option<u64> {
    members.time(name).map(|time_ms| u64::try_from(time_ms).unwrap_or(0))
}

/// A value of a set that the model has checked, by its name with that in front: 0 where none is
/// given.
fn choice<E: Into<i32>>(
    members: &Members,
    name: &str,
    of_name: impl FnOnce(&str) -> Option<E>,
) -> i32 {
    members.text(name).and_then(of_name).map_or(0, Into::into)
}
