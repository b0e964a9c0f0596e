//! How many shards and streams the account may have, by the server's quotas.
//!
//! Shards of provisioned streams that take records count, and on-demand streams as such: the
//! server decides how many shards those have.

use anabranch_engine::Stream;
use anabranch_engine::settings::{QuotaProfile, StreamMode};

use super::{Kind, OpError, Ops, Result};
use crate::traffic::quotas;

/// What the API can say at most, where nothing is limited (API model: 0 to 1,000,000).
const OPEN: u32 = 1_000_000;

/// What counts against the limits of the account.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct AccountUse {
    /// Open shards of provisioned streams.
    pub(super) open_shards: u64,
    /// On-demand streams.
    pub(super) on_demand_streams: u64,
}

/// The limits themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AccountLimits {
    /// Open shards of provisioned streams.
    pub(super) shards: u32,
    /// On-demand streams.
    pub(super) on_demand_streams: u32,
}

impl Ops {
    /// What the account uses now.
    pub(super) fn account_use(&self) -> AccountUse {
        let mut total = AccountUse::default();
        for stream in self.engine.streams(None, usize::MAX) {
            match stream.settings().mode {
                StreamMode::Provisioned => total.open_shards += stream.shards().open().len() as u64,
                StreamMode::OnDemand => total.on_demand_streams += 1,
            }
        }
        total
    }

    /// What it may use.
    pub(super) fn account_limits(&self) -> AccountLimits {
        match self.quotas {
            QuotaProfile::Open => AccountLimits { shards: OPEN, on_demand_streams: OPEN },
            QuotaProfile::Aws => AccountLimits {
                shards: quotas::at_once("shards"),
                on_demand_streams: quotas::at_once("on-demand streams"),
            },
        }
    }

    /// Refuses so many more shards of provisioned streams if there may not be as many.
    pub(super) fn check_shard_quota(&self, additional: u32) -> Result<()> {
        if self.quotas == QuotaProfile::Open {
            return Ok(());
        }
        let (count, limit) = (self.account_use().open_shards, self.account_limits().shards);
        if count + u64::from(additional) <= u64::from(limit) {
            return Ok(());
        }
        let (account, region) = (&self.owner.account, &self.owner.region);
        let message = format!(
            "This request would exceed the shard limit for the account {account} in {region}. \
             Current shard count for the account: {count}. Limit: {limit}. Number of additional \
             shards that would have resulted from this request: {additional}. Refer to the AWS \
             Service Limits page \
             (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current \
             limits and how to request higher limits."
        );
        Err(OpError::new(Kind::LimitExceeded, message)
            .with("count", count.to_string())
            .with("additional", additional.to_string())
            .with("max", limit.to_string()))
    }

    /// Refuses one more consumer of a stream if too many are CREATING.
    pub(super) fn check_creating_quota(&self, stream: &Stream) -> Result<()> {
        let limit = quotas::at_once("consumers in CREATING");
        let count = self.consumers_creating(stream);
        if self.quotas_of(&stream.settings()) == QuotaProfile::Open || count < limit {
            return Ok(());
        }
        let message = format!(
            "stream {} has {count} consumers in CREATING, and may have {limit} (--quotas aws)",
            stream.name()
        );
        Err(OpError::new(Kind::LimitExceeded, message)
            .with("count", count.to_string())
            .with("max", limit.to_string()))
    }

    /// Refuses one more on-demand stream if there may be none.
    pub(super) fn check_on_demand_quota(&self) -> Result<()> {
        if self.quotas == QuotaProfile::Open {
            return Ok(());
        }
        let limits = self.account_limits();
        let (count, limit) = (self.account_use().on_demand_streams, limits.on_demand_streams);
        if count < u64::from(limit) {
            return Ok(());
        }
        let message = format!(
            "the account has {count} on-demand streams, and may have {limit} (--quotas aws)"
        );
        Err(OpError::new(Kind::LimitExceeded, message)
            .with("count", count.to_string())
            .with("max", limit.to_string()))
    }
}
