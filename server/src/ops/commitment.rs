//! The account's commitment to a minimum of on-demand throughput: how its status changes.
//!
//! ```text
//!                 enable                       disable, 24 h are over
//!    DISABLED ---------------> ENABLED ---------------------------------> DISABLED
//!                               ^   |
//!                        enable |   | disable, earlier
//!                               |   v
//!               ENABLED_UNTIL_EARLIEST_ALLOWED_END ---- 24 h are over --> DISABLED
//! ```
//!
//! Nothing is billed here: it is the switch that warm throughput needs, as in the service.

use anabranch_engine::settings::{Commitment, CommitmentStatus as Status};
use anabranch_proto::v1;
use anabranch_proto::v1::MinimumThroughputBillingCommitmentStatus as ShownStatus;

use super::{Kind, OpError, Ops, Result};

/// How long a commitment lasts at least: 24 hours.
const LEAST_MS: u64 = 24 * 3_600_000;

/// A commitment as it stands at a time: one that was given up ends by itself.
pub(super) fn as_of(commitment: Commitment, now_ms: u64) -> Commitment {
    let end_ms = commitment.earliest_end_ms.unwrap_or_default();
    match commitment.status {
        Status::EnabledUntilEarliestAllowedEnd if now_ms >= end_ms => {
            Commitment { status: Status::Disabled, ended_ms: Some(end_ms), ..commitment }
        }
        _ => commitment,
    }
}

/// A commitment after it was enabled or disabled.
pub(super) fn changed(commitment: Commitment, is_enabled: bool, now_ms: u64) -> Commitment {
    let commitment = as_of(commitment, now_ms);
    let may_end = commitment.earliest_end_ms.is_none_or(|end_ms| now_ms >= end_ms);
    match (commitment.status, is_enabled) {
        (Status::Disabled, true) => Commitment {
            status: Status::Enabled,
            started_ms: Some(now_ms),
            ended_ms: None,
            earliest_end_ms: Some(now_ms + LEAST_MS),
        },
        (Status::EnabledUntilEarliestAllowedEnd, true) => {
            Commitment { status: Status::Enabled, ..commitment }
        }
        (Status::Enabled, false) if may_end => {
            Commitment { status: Status::Disabled, ended_ms: Some(now_ms), ..commitment }
        }
        (Status::Enabled, false) => {
            Commitment { status: Status::EnabledUntilEarliestAllowedEnd, ..commitment }
        }
        (Status::Enabled, true)
        | (Status::EnabledUntilEarliestAllowedEnd | Status::Disabled, false) => commitment,
    }
}

/// A commitment as replies show it.
pub(super) fn shown(commitment: Commitment) -> v1::MinimumThroughputBillingCommitment {
    let status = match commitment.status {
        Status::Enabled => ShownStatus::CommitmentEnabled,
        Status::Disabled => ShownStatus::CommitmentDisabled,
        Status::EnabledUntilEarliestAllowedEnd => {
            ShownStatus::CommitmentEnabledUntilEarliestAllowedEnd
        }
    };
    v1::MinimumThroughputBillingCommitment {
        status: status.into(),
        started_timestamp_ms: commitment.started_ms,
        ended_timestamp_ms: commitment.ended_ms,
        earliest_allowed_end_timestamp_ms: commitment.earliest_end_ms,
    }
}

impl Ops {
    /// Refuses warm throughput without a commitment.
    pub(super) fn check_commitment(&self) -> Result<()> {
        let commitment = as_of(self.engine.account().commitment, self.engine.now_ms());
        if commitment.status != Status::Disabled {
            return Ok(());
        }
        let message = "warm_throughput_mibps: needs the account's minimum throughput billing \
                       commitment; enable it with UpdateAccountSettings";
        Err(OpError::in_its_words(Kind::Validation, "warm_throughput_mibps", message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn a_commitment_lasts_24_hours_at_least() {
        let enabled = changed(Commitment::default(), true, 1000);
        assert_eq!(enabled.status, Status::Enabled);
        assert_eq!(enabled.started_ms, Some(1000));
        assert_eq!(enabled.earliest_end_ms, Some(1000 + 24 * HOUR_MS));
        assert_eq!(changed(enabled, true, 2000), enabled);

        let given_up = changed(enabled, false, 2000);
        assert_eq!(given_up.status, Status::EnabledUntilEarliestAllowedEnd);
        assert_eq!(given_up.ended_ms, None);
        assert_eq!(changed(given_up, false, 3000), given_up);
        assert_eq!(changed(given_up, true, 3000), enabled);
        assert_eq!(as_of(given_up, 999 + 24 * HOUR_MS), given_up);
        let over = as_of(given_up, 5000 + 24 * HOUR_MS);
        assert_eq!(over.status, Status::Disabled);
        assert_eq!(over.ended_ms, Some(1000 + 24 * HOUR_MS));

        let ended = changed(enabled, false, 30 * HOUR_MS);
        assert_eq!((ended.status, ended.ended_ms), (Status::Disabled, Some(30 * HOUR_MS)));
        assert_eq!(changed(ended, false, 31 * HOUR_MS), ended);
        let again = changed(ended, true, 31 * HOUR_MS);
        assert_eq!((again.started_ms, again.ended_ms), (Some(31 * HOUR_MS), None));
    }
}
