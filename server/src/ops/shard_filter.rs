//! Which shards ListShards lists: the filters of the API, as decisions about a shard's life.
//!
//! ```text
//!             horizon          t            now
//!   closed ----|---------------|-------------|     FROM_TRIM_HORIZON   all that may hold records
//!        [--------]            |             |     AT_TRIM_HORIZON     open at the horizon
//!        [--------------------------]        |     AT_TIMESTAMP t      open at t
//!                    [-------]                     FROM_TIMESTAMP t    open at t or later
//!                       [----------------------    AT_LATEST           open now
//! ```

use anabranch_engine::ids::ShardId;
use anabranch_proto::v1;
use anabranch_proto::v1::ShardFilterType as Type;

use super::page_token::PageEnd;
use super::seal::Kind as TokenKind;
use super::{OpError, Result, names};

/// From when to when a shard takes records, milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ShardLife {
    /// When it was opened.
    pub(super) opened_ms: u64,
    /// When it was closed, if it was.
    pub(super) closed_ms: Option<u64>,
}

/// Which shards are listed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum ShardFilter {
    /// All that may hold records: those that hold none any more are forgotten anyway.
    #[default]
    All,
    /// Those that are open.
    Open,
    /// Those that were open at the trim horizon.
    AtTrimHorizon,
    /// Those that were open at a time, or at the trim horizon where that is later.
    At(u64),
    /// Those that were open at a time or later.
    From(u64),
}

impl ShardFilter {
    /// The filter of a request, and the shard behind which the list begins.
    pub(super) fn of_request(request: &v1::ShardFilter) -> Result<(Self, Option<ShardId>)> {
        let kind = Type::try_from(request.r#type).unwrap_or(Type::Unspecified);
        if kind == Type::Unspecified {
            let why = "is missing or unknown; it is one of AFTER_SHARD_ID, AT_TRIM_HORIZON, \
                       FROM_TRIM_HORIZON, AT_LATEST, AT_TIMESTAMP and FROM_TIMESTAMP";
            return Err(OpError::invalid("shard_filter.type", why));
        }
        let name = kind.as_str_name().trim_start_matches("SHARD_FILTER_TYPE_");
        let by_time = matches!(kind, Type::AtTimestamp | Type::FromTimestamp);
        for (field, takes, is_given) in [
            ("shard_filter.shard_id", kind == Type::AfterShardId, request.shard_id.is_some()),
            ("shard_filter.timestamp_ms", by_time, request.timestamp_ms.is_some()),
        ] {
            if takes && !is_given {
                return Err(OpError::invalid(field, format_args!("is missing; {name} needs it")));
            }
            if is_given && !takes {
                let why = format_args!("is superfluous; {name} does not take it");
                return Err(OpError::invalid(field, why));
            }
        }
        let after = request.shard_id.as_deref();
        let after = after.map(|id| names::shard_id("shard_filter.shard_id", id)).transpose()?;
        let time_ms = request.timestamp_ms.unwrap_or_default();
        let filter = match kind {
            Type::AtTrimHorizon => ShardFilter::AtTrimHorizon,
            Type::AtLatest => ShardFilter::Open,
            Type::AtTimestamp => ShardFilter::At(time_ms),
            Type::FromTimestamp => ShardFilter::From(time_ms),
            Type::Unspecified | Type::AfterShardId | Type::FromTrimHorizon => ShardFilter::All,
        };
        Ok((filter, after))
    }

    /// Whether a shard with that life is listed, where records from before `horizon_ms` are gone.
    pub(super) fn admits(self, life: ShardLife, horizon_ms: u64) -> bool {
        let is_open_from = |time_ms| life.closed_ms.is_none_or(|closed_ms| closed_ms >= time_ms);
        let is_open_at = |time_ms| life.opened_ms <= time_ms && is_open_from(time_ms);
        match self {
            ShardFilter::All => true,
            ShardFilter::Open => life.closed_ms.is_none(),
            ShardFilter::AtTrimHorizon => is_open_at(horizon_ms),
            ShardFilter::At(time_ms) => is_open_at(time_ms.max(horizon_ms)),
            ShardFilter::From(time_ms) => is_open_from(time_ms),
        }
    }

    /// The filter with which a list goes on whose first page was made at `now_ms`: what moves with
    /// time stands still from page to page, or a shard and its children could both be listed.
    pub(super) fn going_on(self, now_ms: u64, horizon_ms: u64) -> Self {
        match self {
            ShardFilter::Open => ShardFilter::At(now_ms),
            ShardFilter::AtTrimHorizon => ShardFilter::At(horizon_ms),
            filter => filter,
        }
    }
}

/// What a page of shards ends with: the last of them, and what is listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ShardPageEnd {
    pub(super) last: ShardId,
    pub(super) filter: ShardFilter,
}

impl PageEnd for ShardPageEnd {
    const KIND: TokenKind = TokenKind::ShardPage;

    fn text(&self) -> String {
        let (letter, time_ms) = match self.filter {
            ShardFilter::All => ('A', 0),
            ShardFilter::Open => ('O', 0),
            ShardFilter::AtTrimHorizon => ('H', 0),
            ShardFilter::At(time_ms) => ('T', time_ms),
            ShardFilter::From(time_ms) => ('F', time_ms),
        };
        format!("{}{letter}{time_ms}", self.last.0)
    }

    fn from_text(text: &str) -> Option<Self> {
        let at = text.find(|letter: char| letter.is_ascii_uppercase())?;
        let (last, time_ms) = (text[..at].parse().ok()?, text[at + 1..].parse().ok()?);
        let filter = match &text[at..=at] {
            "A" => ShardFilter::All,
            "O" => ShardFilter::Open,
            "H" => ShardFilter::AtTrimHorizon,
            "T" => ShardFilter::At(time_ms),
            "F" => ShardFilter::From(time_ms),
            _ => return None,
        };
        Some(ShardPageEnd { last: ShardId(last), filter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: ShardLife = ShardLife { opened_ms: 100, closed_ms: Some(200) };
    const CHILD: ShardLife = ShardLife { opened_ms: 201, closed_ms: None };

    #[test]
    fn every_filter_admits_those_that_it_names() {
        let admitted = |filter: ShardFilter, horizon_ms| {
            (filter.admits(PARENT, horizon_ms), filter.admits(CHILD, horizon_ms))
        };
        assert_eq!(admitted(ShardFilter::All, 150), (true, true));
        assert_eq!(admitted(ShardFilter::Open, 150), (false, true));
        assert_eq!(admitted(ShardFilter::AtTrimHorizon, 150), (true, false));
        assert_eq!(admitted(ShardFilter::AtTrimHorizon, 200), (true, false));
        assert_eq!(admitted(ShardFilter::AtTrimHorizon, 201), (false, true));
        assert_eq!(admitted(ShardFilter::At(99), 0), (false, false));
        assert_eq!(admitted(ShardFilter::At(100), 0), (true, false));
        assert_eq!(admitted(ShardFilter::At(200), 0), (true, false));
        assert_eq!(admitted(ShardFilter::At(201), 0), (false, true));
        // What lies beyond the horizon is read from there.
        assert_eq!(admitted(ShardFilter::At(50), 150), (true, false));
        assert_eq!(admitted(ShardFilter::From(50), 0), (true, true));
        assert_eq!(admitted(ShardFilter::From(200), 0), (true, true));
        assert_eq!(admitted(ShardFilter::From(201), 0), (false, true));
    }

    #[test]
    fn what_a_later_page_lists_does_not_move_with_time() {
        assert_eq!(ShardFilter::Open.going_on(500, 100), ShardFilter::At(500));
        assert_eq!(ShardFilter::AtTrimHorizon.going_on(500, 100), ShardFilter::At(100));
        assert_eq!(ShardFilter::From(7).going_on(500, 100), ShardFilter::From(7));
    }

    #[test]
    fn the_end_of_a_page_reads_back_and_other_text_does_not() {
        for filter in [
            ShardFilter::All,
            ShardFilter::Open,
            ShardFilter::AtTrimHorizon,
            ShardFilter::At(u64::MAX),
            ShardFilter::From(1),
        ] {
            let end = ShardPageEnd { last: ShardId(u32::MAX), filter };
            assert_eq!(ShardPageEnd::from_text(&end.text()), Some(end));
        }
        for text in ["", "7", "A0", "7X0", "7A", "7A-1", "7\u{e4}A0"] {
            assert_eq!(ShardPageEnd::from_text(text), None, "{text}");
        }
    }
}
