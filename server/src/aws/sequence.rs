//! Sequence numbers as Kinesis writes them: 56 decimal digits.
//!
//! To us a record's number is its place in its shard. To a client of Kinesis it is a text, which
//! is compared as a number, with the numbers of other shards too. The text is a pure function of
//! four values, which lie in 47 hexadecimal digits:
//!
//! ```text
//!   2 | shard created, s | shard | number | 00 | arrival, s | shard | 2
//!   1          9             1       16      2        9         8     1     hexadecimal digits
//!               its last digit                   the whole of it
//! ```
//!
//! The last digit is the version, which has been 2 for years. So numbers of a shard have the order
//! of its records, and those of its children, which are made in a later second, lie above them.
//! What a client sends back is read by shard and number alone: the second of arrival is not
//! compared, so a number that was made for a gap, for a start or for an end is as good as a
//! record's. Numbers of the versions 0 and 1 are understood as far as refusals show them.
//!
//! The layout is that of the real service, as far as its numbers tell it.

use std::fmt;
use std::str::FromStr;

use anabranch_engine::ids::ShardId;
use anabranch_engine::sequence::SequenceNumber;

/// Digits of the text.
pub const DIGITS: usize = 56;

/// The highest number of a shard: its first hexadecimal digit is at most 7. No record has it; the
/// end of a closed shard does.
pub const NUMBER_MAX: u64 = u64::MAX >> 1;

/// Seconds have 36 bits.
const SECONDS_MAX: u64 = (1 << 36) - 1;

/// The first digit and the last one.
const VERSION: u64 = 2;

/// What all numbers of a shard have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// When the shard was made, seconds since 1970.
    pub shard_created_s: u64,
    /// Its index.
    pub shard: ShardId,
}

/// A sequence number of Kinesis. [`fmt::Display`] writes its text, [`FromStr`] reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KinesisNumber {
    /// The shard.
    pub origin: Origin,
    /// The number in the shard, at most [`NUMBER_MAX`].
    pub number: SequenceNumber,
    /// When the record arrived, seconds since 1970.
    pub arrival_s: u64,
}

/// What a text is that is a sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// Of the version that is in use.
    Current(KinesisNumber),
    /// Of an older one.
    Older(OlderNumber),
}

/// A number of version 0 or 1. None of our records has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OlderNumber {
    /// The shard that it encodes.
    pub shard: ShardId,
    /// When its record arrived, seconds since 1970; version 0 does not say.
    pub arrival_s: Option<u64>,
    /// How the service shows a number of version 0: its first digit, which may be left out, is 1.
    pub shown: Option<u128>,
}

/// A text that is no sequence number of any version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidNumber;

impl Origin {
    /// Of a shard that was made at that time (ms since 1970).
    pub fn new(shard: ShardId, shard_created_ms: u64) -> Origin {
        Origin { shard_created_s: shard_created_ms / 1000, shard }
    }

    /// The number of a record that arrived at that time (ms since 1970), or of a place between
    /// records.
    pub fn number(self, number: SequenceNumber, arrival_ms: u64) -> KinesisNumber {
        KinesisNumber { origin: self, number, arrival_s: arrival_ms / 1000 }
    }

    /// The StartingSequenceNumber of a shard. `start` lies below its first record.
    pub fn starting(self, start: SequenceNumber) -> KinesisNumber {
        KinesisNumber { origin: self, number: start, arrival_s: self.shard_created_s }
    }

    /// The EndingSequenceNumber of a shard that was closed at that time (ms since 1970): above
    /// all of its records, whatever was put last.
    pub fn ending(self, closed_ms: u64) -> KinesisNumber {
        self.number(SequenceNumber(NUMBER_MAX), closed_ms)
    }
}

impl KinesisNumber {
    /// The text, as ASCII digits.
    pub fn digits(&self) -> [u8; DIGITS] {
        /// Digits of a chunk: the most that a `u64` holds whatever they are.
        const CHUNK: u64 = 10_000_000_000_000_000_000;
        let [high, middle, low] = self.limbs();
        // Long division by the chunk, twice. The first digit is 2, so `high` is below 2^58, and
        // below the chunk.
        let (middle, rest) = divide(high, middle, CHUNK);
        let (low, third) = divide(rest, low, CHUNK);
        let (first, second) = divide(middle, low, CHUNK);
        let mut digits = [b'0'; DIGITS];
        put_decimal(first, &mut digits[..18]);
        put_decimal(second, &mut digits[18..37]);
        put_decimal(third, &mut digits[37..]);
        digits
    }

    /// The number, highest 64 bits first. What is out of bounds, which no clock and no shard
    /// reaches, is cut to them: the order holds.
    fn limbs(&self) -> [u64; 3] {
        let created = self.origin.shard_created_s.min(SECONDS_MAX);
        let arrival = self.arrival_s.min(SECONDS_MAX);
        let number = self.number.0.min(NUMBER_MAX);
        let shard = u64::from(self.origin.shard.0);
        // 188 bits: 4, 36, 4, 64, 8 zeros, 36, 32, 4.
        let high = VERSION << 56 | created << 20 | (shard & 0xf) << 16 | number >> 48;
        let middle = number << 16 | arrival >> 28;
        let low = arrival << 36 | shard << 4 | VERSION;
        [high, middle, low]
    }

    fn of_limbs([high, middle, low]: [u64; 3]) -> Result<KinesisNumber, InvalidNumber> {
        let shard = shard_of(low)?;
        let number = (high & 0xffff) << 48 | middle >> 16;
        if number > NUMBER_MAX {
            return Err(InvalidNumber);
        }
        Ok(KinesisNumber {
            origin: Origin { shard_created_s: (high >> 20) & SECONDS_MAX, shard },
            number: SequenceNumber(number),
            arrival_s: (middle & 0xff) << 28 | low >> 36,
        })
    }
}

impl fmt::Display for KinesisNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        f.write_str(std::str::from_utf8(&digits).expect("digits are ASCII"))
    }
}

impl FromStr for KinesisNumber {
    type Err = InvalidNumber;

    /// Reads a number of the current version.
    fn from_str(text: &str) -> Result<Self, InvalidNumber> {
        match text.parse()? {
            Parsed::Current(number) => Ok(number),
            Parsed::Older(_) => Err(InvalidNumber),
        }
    }
}

impl FromStr for Parsed {
    type Err = InvalidNumber;

    /// Reads a number of any version. The pattern of the API model, `0|([1-9]\d{0,128})`, leaves
    /// more room than the numbers take.
    fn from_str(text: &str) -> Result<Self, InvalidNumber> {
        let limbs = limbs_of_text(text)?;
        let [high, middle, low] = limbs;
        if high >> 56 == VERSION {
            return match low & 0xf {
                VERSION => KinesisNumber::of_limbs(limbs).map(Parsed::Current),
                1 => Ok(Parsed::Older(OlderNumber {
                    shard: shard_of(low)?,
                    // Behind the shard's digit stand two unknown ones, then the seconds.
                    arrival_s: Some((high & 0xff) << 28 | middle >> 36),
                    shown: None,
                })),
                _ => Err(InvalidNumber),
            };
        }
        if high > 0 {
            return Err(InvalidNumber);
        }
        older(u128::from(middle) << 64 | u128::from(low)).map(Parsed::Older)
    }
}

/// A number of version 0: 32 hexadecimal digits, 1, seconds (9), 18 others, shard (4).
fn older(value: u128) -> Result<OlderNumber, InvalidNumber> {
    /// From there on the real service says that it is none.
    const CREATED_S_END: u128 = 16_025_175_000;
    let without_first = value & ((1 << 124) - 1);
    if without_first >> 88 >= CREATED_S_END {
        return Err(InvalidNumber);
    }
    let shard = ShardId((value & 0xffff) as u32);
    Ok(OlderNumber { shard, arrival_s: None, shown: Some(1 << 124 | without_first) })
}

/// The shard in the digits before the last. It is a signed number of 32 bits there.
fn shard_of(low: u64) -> Result<ShardId, InvalidNumber> {
    let shard = (low >> 4) as u32;
    if shard > i32::MAX as u32 { Err(InvalidNumber) } else { Ok(ShardId(shard)) }
}

/// A text of the pattern as a number, highest 64 bits first.
fn limbs_of_text(text: &str) -> Result<[u64; 3], InvalidNumber> {
    /// 10^57 is the highest power of ten below 2^192.
    const DIGITS_MAX: usize = 57;
    let bytes = text.as_bytes();
    let is_legal = match bytes {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !is_legal || bytes.len() > DIGITS_MAX {
        return Err(InvalidNumber);
    }
    let [mut high, mut middle, mut low] = [0u64; 3];
    for chunk in bytes.chunks(19) {
        let (mut value, mut scale) = (0u64, 1u64);
        for digit in chunk {
            value = value * 10 + u64::from(digit - b'0');
            scale *= 10;
        }
        let product = u128::from(low) * u128::from(scale) + u128::from(value);
        low = product as u64;
        let product = u128::from(middle) * u128::from(scale) + (product >> 64);
        middle = product as u64;
        high = high * scale + (product >> 64) as u64;
    }
    Ok([high, middle, low])
}

/// Quotient and remainder of `rest * 2^64 + limb`, where `rest` is below `divisor`.
fn divide(rest: u64, limb: u64, divisor: u64) -> (u64, u64) {
    let value = u128::from(rest) << 64 | u128::from(limb);
    let quotient = (value / u128::from(divisor)) as u64;
    // The difference is below the divisor, so its low bits are all of it.
    (quotient, limb.wrapping_sub(quotient.wrapping_mul(divisor)))
}

/// Writes a number in as many digits as `out` has room for.
fn put_decimal(value: u64, out: &mut [u8]) {
    // Eight digits at a time, so that the parts do not wait for each other.
    let (head, low) = (value / 100_000_000, (value % 100_000_000) as u32);
    let (head, middle) = ((head / 100_000_000) as u32, (head % 100_000_000) as u32);
    let split = out.len() - 16;
    let (first, rest) = out.split_at_mut(split);
    let (second, third) = rest.split_at_mut(8);
    put_digits(low, third);
    put_digits(middle, second);
    put_digits(head, first);
}

fn put_digits(mut value: u32, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Written by golden/sequence_numbers.py, which knows the layout from its description alone.
    const GOLDEN: &str = include_str!("../../golden/sequence_numbers.txt");

    fn number(shard_created_s: u64, shard: u32, number: u64, arrival_s: u64) -> KinesisNumber {
        let origin = Origin { shard_created_s, shard: ShardId(shard) };
        KinesisNumber { origin, number: SequenceNumber(number), arrival_s }
    }

    /// A number in hexadecimal digits, as the text that it is.
    fn hex(digits: &str) -> String {
        let mut decimal = vec![0];
        for digit in digits.chars() {
            let mut carry = digit.to_digit(16).unwrap();
            for place in decimal.iter_mut().rev() {
                carry += *place * 16;
                *place = carry % 10;
                carry /= 10;
            }
            while carry > 0 {
                decimal.insert(0, carry % 10);
                carry /= 10;
            }
        }
        decimal.iter().map(u32::to_string).collect()
    }

    #[test]
    fn numbers_are_written_and_read_as_an_independent_program_does() {
        let lines: Vec<_> = GOLDEN.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() > 20);
        for line in lines {
            let (values, text) = line.rsplit_once(' ').unwrap();
            let values: Vec<u64> = values.split(' ').map(|value| value.parse().unwrap()).collect();
            let [created_s, shard, place, arrival_s] = values[..] else { panic!("{line}") };
            let number = number(created_s, shard as u32, place, arrival_s);
            assert_eq!(number.to_string(), text, "{line}");
            assert_eq!(text.parse(), Ok(number), "{line}");
        }
    }

    #[test]
    fn start_and_end_of_a_shard_lie_around_its_records() {
        let origin = Origin::new(ShardId(7), 1_700_000_000_999);
        let start = origin.starting(SequenceNumber(41));
        let first = origin.number(SequenceNumber(42), 1_700_000_000_999);
        let end = origin.ending(1_700_000_500_000);
        assert_eq!(start, number(1_700_000_000, 7, 41, 1_700_000_000));
        assert_eq!(end, number(1_700_000_000, 7, NUMBER_MAX, 1_700_000_500));
        assert!(start.digits() < first.digits() && first.digits() < end.digits());
        // A child is made in a later second, so its start lies above the end of its parent.
        let child = Origin::new(ShardId(8), 1_700_000_001_000).starting(SequenceNumber(42));
        assert!(end.digits() < child.digits());
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let too_long = "1".repeat(129);
        for text in [
            "",
            "00",
            "01",
            "-1",
            "+1",
            " 1",
            "1a",
            "ä",
            "١",
            &too_long,
            // Between the versions, above them, of versions 0, 3 and 4 where those digits stand.
            &hex("100000000000000000000000000000000"),
            &hex("1ffffffffff7fffffffffffffff000000000007fffffff2"),
            &hex("30000000000000000000000000000000000000000000002"),
            &hex("20000000000000000000000000000000000000000000000"),
            &hex("20000000000000000000000000000000000000000000003"),
            &hex("20000000000000000000000000000000000000000000004"),
            // A number, and a shard, above the highest.
            &hex("20000000000800000000000000000000000000000000002"),
            &hex("20000000000000000000000000000000000000800000002"),
            // A second of version 0 above the highest.
            &hex("13bb2cc3d80000000000000000000000"),
        ] {
            assert_eq!(text.parse::<Parsed>(), Err(InvalidNumber), "{text}");
            assert!(text.parse::<KinesisNumber>().is_err());
        }
        assert_eq!(
            hex("2ffffffffff7fffffffffffffff000000000007fffffff2").parse(),
            Ok(number(SECONDS_MAX, i32::MAX as u32, NUMBER_MAX, 0))
        );
        let one = hex("20000000000000000000000000000000000000000000051");
        let one = one.parse::<Parsed>();
        let arrival_s = Some(0);
        assert_eq!(
            one,
            Ok(Parsed::Older(OlderNumber { shard: ShardId(5), arrival_s, shown: None }))
        );
    }

    #[test]
    fn a_number_of_version_0_is_shown_with_its_first_digit() {
        // Pairs that the real service has shown.
        for (text, shard, shown) in [
            ("5", 5, 21_267_647_932_558_653_966_460_912_964_485_513_221),
            ("0", 0, 21_267_647_932_558_653_966_460_912_964_485_513_216),
            (
                "425352958651173072921826052383309826",
                2,
                21_693_000_891_209_827_039_382_739_016_868_823_042,
            ),
            (
                &hex("f3bb2cc3d7ff7fffffffffffffff0000"),
                0,
                26_227_199_374_821_822_965_252_748_908_982_894_592,
            ),
        ] {
            let older = OlderNumber { shard: ShardId(shard), arrival_s: None, shown: Some(shown) };
            assert_eq!(text.parse(), Ok(Parsed::Older(older)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_number_reads_back(
            created_s in 0..=SECONDS_MAX,
            shard in 0..=i32::MAX as u32,
            place in 0..=NUMBER_MAX,
            arrival_s in 0..=SECONDS_MAX,
        ) {
            let number = number(created_s, shard, place, arrival_s);
            let text = number.to_string();
            prop_assert_eq!(text.len(), DIGITS);
            prop_assert_eq!(text.parse(), Ok(number));
        }

        /// Texts of one length have the order of the numbers that they are.
        #[test]
        fn numbers_have_the_order_of_their_shards_and_then_of_their_records(
            created_s in (0..SECONDS_MAX, 0..SECONDS_MAX),
            shard in 0..10_000u32,
            place in (0..=NUMBER_MAX, 0..=NUMBER_MAX),
            arrival_s in (0..SECONDS_MAX, 0..SECONDS_MAX),
        ) {
            prop_assume!(created_s.0 != created_s.1 && place.0 != place.1);
            let first = number(created_s.0, shard, place.0, arrival_s.0);
            let same_shard = number(created_s.0, shard, place.1, arrival_s.1);
            let order = place.0.cmp(&place.1);
            prop_assert_eq!(first.digits().cmp(&same_shard.digits()), order);
            let other_shard = number(created_s.1, shard + 1, place.1, arrival_s.1);
            let order = created_s.0.cmp(&created_s.1);
            prop_assert_eq!(first.digits().cmp(&other_shard.digits()), order);
        }

        #[test]
        fn no_text_brings_the_reader_down(text in "[0-9]{0,140}|\\PC*") {
            if let Ok(Parsed::Current(number)) = text.parse() {
                prop_assert_eq!(number.to_string().parse(), Ok(number));
            }
        }
    }
}
