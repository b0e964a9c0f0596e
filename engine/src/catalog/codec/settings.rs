//! The bytes of settings: those of a stream, behind its name; tags and policy of streams and
//! consumers; and those of the account. **Frozen**; [`codec`](super) has the layout.

use super::{Fields, Undecodable, VERSION};
use crate::limits::{RECORD_KIB_MAX, RECORD_KIB_MIN};
use crate::settings::{
    AccountSettings, Commitment, CommitmentStatus, Distribution, QuotaProfile, ShardMetrics,
    StreamMode, StreamSettings, Tags,
};

const COMMITMENT_STARTED: u8 = 1;
const COMMITMENT_ENDED: u8 = 2;
const COMMITMENT_EARLIEST_END: u8 = 4;

/// Appends the settings of a stream. Whether there is a policy is in the stream's flags.
pub(super) fn put_settings(settings: &StreamSettings, value: &mut Vec<u8>) {
    value.push(match settings.mode {
        StreamMode::Provisioned => 0,
        StreamMode::OnDemand => 1,
    });
    value.push(match settings.distribution {
        Distribution::UserPartitionKey => 0,
        Distribution::Auto => 1,
    });
    value.push(match settings.quotas {
        None => 0,
        Some(QuotaProfile::Open) => 1,
        Some(QuotaProfile::Aws) => 2,
    });
    value.push(settings.monitoring.bits());
    value.extend_from_slice(&settings.warm_throughput_mib_s.to_le_bytes());
    value.extend_from_slice(&settings.max_record_kib.to_le_bytes());
    put_attributes(&settings.tags, settings.policy.as_deref(), value);
}

/// Reads [`put_settings`].
pub(super) fn take_settings(
    fields: &mut Fields<'_>,
    has_policy: bool,
) -> Result<StreamSettings, Undecodable> {
    let mode = match fields.u8()? {
        0 => StreamMode::Provisioned,
        1 => StreamMode::OnDemand,
        _ => return Err(fields.damaged()),
    };
    let distribution = match fields.u8()? {
        0 => Distribution::UserPartitionKey,
        1 => Distribution::Auto,
        _ => return Err(fields.damaged()),
    };
    let quotas = match fields.u8()? {
        0 => None,
        1 => Some(QuotaProfile::Open),
        2 => Some(QuotaProfile::Aws),
        _ => return Err(fields.damaged()),
    };
    let monitoring = ShardMetrics::from_bits(fields.u8()?).ok_or(fields.damaged())?;
    let warm_throughput_mib_s = fields.u32()?;
    let max_record_kib = fields.u32()?;
    if !(RECORD_KIB_MIN..=RECORD_KIB_MAX).contains(&max_record_kib) {
        return Err(fields.damaged());
    }
    let (tags, policy) = take_attributes(fields, has_policy)?;
    Ok(StreamSettings {
        mode,
        warm_throughput_mib_s,
        max_record_kib,
        distribution,
        quotas,
        monitoring,
        tags,
        policy,
    })
}

/// Appends tags, and the policy if there is one.
pub(super) fn put_attributes(tags: &Tags, policy: Option<&str>, value: &mut Vec<u8>) {
    value.push(u8::try_from(tags.len()).expect("a resource has 50 tags at most"));
    for text in tags.iter().flat_map(|(key, tag)| [key, tag]) {
        let bytes = u16::try_from(text.len()).expect("a tag has 256 characters at most");
        value.extend_from_slice(&bytes.to_le_bytes());
        value.extend_from_slice(text.as_bytes());
    }
    if let Some(policy) = policy {
        let bytes = u32::try_from(policy.len()).expect("a policy has 20 KiB at most");
        value.extend_from_slice(&bytes.to_le_bytes());
        value.extend_from_slice(policy.as_bytes());
    }
}

/// Reads [`put_attributes`].
pub(super) fn take_attributes(
    fields: &mut Fields<'_>,
    has_policy: bool,
) -> Result<(Tags, Option<String>), Undecodable> {
    let mut tags = Tags::new();
    for _ in 0..fields.u8()? {
        let mut text = || {
            let bytes = u16::from_le_bytes(fields.take()?);
            fields.text(usize::from(bytes)).map(str::to_owned)
        };
        let (key, tag) = (text()?, text()?);
        // They rise, so that there is one way to write a set of them.
        if tags.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(fields.damaged());
        }
        tags.insert(key, tag);
    }
    if !has_policy {
        return Ok((tags, None));
    }
    let bytes = usize::try_from(fields.u32()?).map_err(|_| fields.damaged())?;
    let policy = fields.text(bytes)?.to_owned();
    Ok((tags, Some(policy)))
}

/// Writes the value of [`ACCOUNT_KEY`](super::ACCOUNT_KEY).
pub(in super::super) fn encode_account(account: &AccountSettings) -> Vec<u8> {
    let Commitment { status, started_ms, ended_ms, earliest_end_ms } = account.commitment;
    let status = match status {
        CommitmentStatus::Disabled => 0,
        CommitmentStatus::Enabled => 1,
        CommitmentStatus::EnabledUntilEarliestAllowedEnd => 2,
    };
    let times = [
        (COMMITMENT_STARTED, started_ms),
        (COMMITMENT_ENDED, ended_ms),
        (COMMITMENT_EARLIEST_END, earliest_end_ms),
    ];
    let flags =
        times.iter().filter(|(_, time)| time.is_some()).fold(0, |all, (flag, _)| all | flag);
    let mut value = vec![VERSION, status, flags];
    for (_, time) in times {
        value.extend_from_slice(&time.unwrap_or(0).to_le_bytes());
    }
    value
}

/// Reads [`encode_account`].
pub(in super::super) fn decode_account(value: &[u8]) -> Result<AccountSettings, Undecodable> {
    let mut fields = Fields::open(value, "the account's settings")?;
    let status = match fields.u8()? {
        0 => CommitmentStatus::Disabled,
        1 => CommitmentStatus::Enabled,
        2 => CommitmentStatus::EnabledUntilEarliestAllowedEnd,
        _ => return Err(fields.damaged()),
    };
    let flags = fields.flags(COMMITMENT_STARTED | COMMITMENT_ENDED | COMMITMENT_EARLIEST_END)?;
    let mut time = |flag| match (flags & flag != 0, fields.u64()?) {
        (true, time) => Ok(Some(time)),
        (false, 0) => Ok(None),
        (false, _) => Err(fields.damaged()),
    };
    let commitment = Commitment {
        status,
        started_ms: time(COMMITMENT_STARTED)?,
        ended_ms: time(COMMITMENT_ENDED)?,
        earliest_end_ms: time(COMMITMENT_EARLIEST_END)?,
    };
    fields.end(AccountSettings { commitment })
}
