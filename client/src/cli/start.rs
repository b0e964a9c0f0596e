//! Where `tail` begins: the forms that `--from` takes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::consumer::Position;

/// What `--from` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    Latest,
    TrimHorizon,
    /// So long before now.
    Ago(Duration),
    /// Milliseconds since 1970.
    At(u64),
    SequenceNumber(u64),
}

impl Start {
    /// Reads `latest`, `trim-horizon`, `10m`, a time as RFC 3339 has it, or a sequence number
    /// in either of its forms.
    pub(super) fn parse(text: &str) -> Result<Start, String> {
        match text {
            "latest" => return Ok(Start::Latest),
            "trim-horizon" => return Ok(Start::TrimHorizon),
            _ => {}
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return parse_sequence_number(text).map(Start::SequenceNumber);
        }
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Start::Ago(ago));
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| {
            "not latest, trim-horizon, a period such as 10m, a time such as \
             2026-01-31T12:00:00Z, or a sequence number"
                .to_owned()
        })?;
        u64::try_from(time.as_millisecond())
            .map(Start::At)
            .map_err(|_| "a time before 1970".to_owned())
    }

    pub(super) fn position(self, now: SystemTime) -> Position {
        match self {
            Start::Latest => Position::Latest,
            Start::TrimHorizon => Position::TrimHorizon,
            Start::Ago(ago) => {
                let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                Position::AtTimestamp(since.saturating_sub(ago).as_millis() as u64)
            }
            Start::At(milliseconds) => Position::AtTimestamp(milliseconds),
            Start::SequenceNumber(number) => Position::AtSequenceNumber(number),
        }
    }
}

/// Our number as it is, or from the 56 digits in which the Kinesis API writes it.
fn parse_sequence_number(text: &str) -> Result<u64, String> {
    if text.len() < 50 {
        return text.parse().map_err(|_| "a sequence number beyond 2^64".to_owned());
    }
    let wrong = || "not a sequence number of the Kinesis API".to_owned();
    // 47 hexadecimal digits, the first of which is the version: 2, then when the shard was
    // made (9), a digit of the shard (1), our number (16), and more that does not matter.
    let digits = to_hex(text).filter(|digits| digits.len() == 47 && digits.starts_with('2'));
    let digits = digits.ok_or_else(wrong)?;
    u64::from_str_radix(&digits[11..27], 16).map_err(|_| wrong())
}

/// A decimal number of up to 192 bits in hexadecimal, without leading zeros.
fn to_hex(decimal: &str) -> Option<String> {
    let mut limbs = [0u32; 6];
    for digit in decimal.bytes() {
        let mut carry = u64::from(digit - b'0');
        for limb in &mut limbs {
            let value = u64::from(*limb) * 10 + carry;
            *limb = value as u32;
            carry = value >> 32;
        }
        if carry != 0 {
            return None;
        }
    }
    let pair = |low: usize| u64::from(limbs[low + 1]) << 32 | u64::from(limbs[low]);
    let padded = format!("{:016x}{:016x}{:016x}", pair(4), pair(2), pair(0));
    Some(padded.trim_start_matches('0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_from_is_understood() {
        for (text, start) in [
            ("latest", Start::Latest),
            ("trim-horizon", Start::TrimHorizon),
            ("10m", Start::Ago(Duration::from_secs(600))),
            ("1h 30m", Start::Ago(Duration::from_secs(5400))),
            ("2023-11-14T22:13:20Z", Start::At(1_700_000_000_000)),
            ("2023-11-14T23:13:20.5+01:00", Start::At(1_700_000_000_500)),
            ("0", Start::SequenceNumber(0)),
            ("18446744073709551615", Start::SequenceNumber(u64::MAX)),
        ] {
            assert_eq!(Start::parse(text), Ok(start), "{text}");
        }
        for wrong in [
            "",
            "LATEST",
            "yesterday",
            "2023-11-14",
            "1969-01-01T00:00:00Z",
            "18446744073709551616",
            "-5",
        ] {
            assert!(Start::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_sequence_number_of_the_kinesis_api_is_ours_in_disguise() {
        // Version 2, shard made at 0x65535aa2e, shard digit 3, number 42, 00, time, shard 3, 2.
        let hex =
            format!("2{:09x}3{:016x}00{:09x}{:08x}2", 0x6_5535_aa2e_u64, 42, 0x6_5535_aa30_u64, 3);
        let decimal = to_decimal(&hex);
        assert_eq!(decimal.len(), 56);
        assert_eq!(Start::parse(&decimal), Ok(Start::SequenceNumber(42)));
        assert!(Start::parse(&"9".repeat(56)).is_err());
        assert!(Start::parse(&"9".repeat(70)).is_err());
        assert!(Start::parse(&"1".repeat(50)).is_err());
    }

    fn to_decimal(hex: &str) -> String {
        let mut digits = vec![0u32];
        for hex_digit in hex.chars() {
            let mut carry = hex_digit.to_digit(16).unwrap();
            for digit in &mut digits {
                let value = *digit * 16 + carry;
                *digit = value % 10;
                carry = value / 10;
            }
            while carry > 0 {
                digits.push(carry % 10);
                carry /= 10;
            }
        }
        digits.iter().rev().map(u32::to_string).collect()
    }

    #[test]
    fn a_period_is_counted_back_from_now() {
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
        let start = Start::parse("10m").unwrap();
        assert_eq!(start.position(now), Position::AtTimestamp(1_699_999_400_000));
        assert_eq!(Start::Ago(Duration::MAX).position(now), Position::AtTimestamp(0));
    }
}
