//! The patterns that texts of the API must match as a whole.

use std::sync::LazyLock;

use regex::Regex;

/// What a text must look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// A name of a stream, shard or consumer.
    Name,
    /// A sequence number.
    SequenceNumber,
    /// A hash key.
    HashKey,
    /// A stream's id, which is reserved.
    StreamId,
    /// The ARN of a stream.
    StreamArn,
    /// The ARN of a consumer.
    ConsumerArn,
    /// The ARN of what can have tags or a policy.
    ResourceArn,
}

impl Pattern {
    /// Every pattern.
    pub const ALL: [Pattern; 7] = [
        Pattern::Name,
        Pattern::SequenceNumber,
        Pattern::HashKey,
        Pattern::StreamId,
        Pattern::StreamArn,
        Pattern::ConsumerArn,
        Pattern::ResourceArn,
    ];

    /// As the service writes it.
    pub const fn text(self) -> &'static str {
        match self {
            Pattern::Name => "[a-zA-Z0-9_.-]+",
            Pattern::SequenceNumber => r"0|([1-9]\d{0,128})",
            Pattern::HashKey => r"0|([1-9]\d{0,38})",
            Pattern::StreamId => "[a-z0-9]{20}-[a-z0-9]{3}",
            Pattern::StreamArn => r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+",
            Pattern::ConsumerArn => {
                r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+"
            }
            Pattern::ResourceArn => r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+",
        }
    }

    /// Whether the whole of a text looks like it. Those that records have are matched by hand.
    pub fn is_match(self, text: &str) -> bool {
        match self {
            Pattern::Name => {
                let is_part =
                    |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
                !text.is_empty() && text.bytes().all(is_part)
            }
            Pattern::SequenceNumber => is_number(text, 129),
            Pattern::HashKey => is_number(text, 39),
            Pattern::StreamId
            | Pattern::StreamArn
            | Pattern::ConsumerArn
            | Pattern::ResourceArn => self.regex().is_match(text),
        }
    }

    fn regex(self) -> &'static Regex {
        static REGEXES: LazyLock<[Regex; Pattern::ALL.len()]> = LazyLock::new(|| {
            Pattern::ALL.map(|pattern| {
                // Digits are those of ASCII there.
                let text = pattern.text().replace(r"\d", "[0-9]");
                Regex::new(&format!("^(?:{text})$")).expect("a test compiles them all")
            })
        });
        &REGEXES[self as usize]
    }
}

/// Whether it is a number without leading zeros, of so many digits at most.
fn is_number(text: &str, digits_max: usize) -> bool {
    let is_short = text.len() <= digits_max;
    let has_first = text == "0" || matches!(text.as_bytes().first(), Some(b'1'..=b'9'));
    is_short && has_first && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_matched_by_hand_is_what_the_pattern_says() {
        let long = |digits| format!("1{}", "0".repeat(digits));
        let texts = [
            "", "0", "00", "1", "9", "01", "10", "-1", "+1", "1a", "٣", "a", "a.b_C-9", "a b", "é",
            "a/b", "1\n", "\n",
        ];
        let texts = texts.into_iter().map(str::to_owned);
        for text in texts.chain([38, 39, 128, 129].map(long)) {
            for pattern in [Pattern::Name, Pattern::SequenceNumber, Pattern::HashKey] {
                let expected = pattern.regex().is_match(&text);
                assert_eq!(pattern.is_match(&text), expected, "{pattern:?} {text:?}");
            }
        }
    }

    #[test]
    fn arns_of_any_partition_region_and_account_match() {
        for (pattern, text, is_match) in [
            (Pattern::StreamArn, "arn:aws:kinesis:us-east-1:000000000000:stream/a", true),
            (Pattern::StreamArn, "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a", true),
            (Pattern::StreamArn, "arn:aws:kinesis:us-east-1:00000000000:stream/a", false),
            (Pattern::StreamArn, "arn:aws:kinesis:us-east-1:000000000000:stream/", false),
            (Pattern::StreamArn, "xarn:aws:kinesis:us-east-1:000000000000:stream/a", false),
            (Pattern::StreamArn, "arn:aws:kinesis:us-east-1:000000000000:stream/a b", false),
            (Pattern::ConsumerArn, "arn:aws:kinesis:r:000000000000:stream/a/consumer/b:1", true),
            (Pattern::ConsumerArn, "arn:aws:kinesis:r:000000000000:stream/a/consumer/b:", false),
            (Pattern::ConsumerArn, "arn:aws:kinesis:r:000000000000:stream/a/consumer/b:1x", false),
            (Pattern::ResourceArn, "arn:aws:kinesis:r:000000000000:stream/a/consumer/b:1", true),
            (Pattern::ResourceArn, "arn:aws:kinesis:r:000000000000:table/a", false),
            (Pattern::StreamId, "abcdefghij0123456789-abc", true),
            (Pattern::StreamId, "abcdefghij0123456789-abcd", false),
        ] {
            assert_eq!(pattern.is_match(text), is_match, "{pattern:?} {text}");
        }
    }
}
