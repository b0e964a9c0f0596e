//! What a client was told, as a value and as a line of text.
//!
//! Events come from tasks in this process, or over the console of a machine that dies in the
//! middle of a line. So a line carries its own checksum, and one that is not whole is no event.

use std::fmt::Write;

use crate::checker::Seen;

/// Something that a client of the load did or was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::torture) enum Event {
    /// A call is about to be made.
    Sending { producer: u32, batch: u64 },
    /// It was answered: for each record the shard and number, `None` where it was refused.
    Acknowledged { producer: u32, batch: u64, places: Vec<Option<(u32, u64)>> },
    /// A reader that stood at `from` was shown records of a shard.
    Shown { stream: u32, shard: u32, from: u64, records: Vec<Seen> },
    /// A server that was started again after the cut had these records in a shard, and nothing
    /// else: the next cut came before anything was put.
    Stood { stream: u32, shard: u32, records: Vec<Seen> },
    /// A stream was made.
    Created(String),
    /// And removed.
    Deleted(String),
    /// A reader met damage.
    Damage(String),
}

/// In front of every line that is an event.
const MARK: &str = "@event ";

impl Event {
    /// Whether it says what a client was about to do, and not what came of it.
    pub(super) fn is_attempt(&self) -> bool {
        matches!(self, Event::Sending { .. })
    }

    /// A line for a console, without its end.
    pub(super) fn line(&self) -> String {
        let text = self.text();
        format!("{MARK}{:08x} {text}", crc32fast::hash(text.as_bytes()))
    }

    /// The event of a line, if the line is one and whole.
    pub(super) fn from_line(line: &str) -> Option<Event> {
        let (crc, text) = line.trim_end().strip_prefix(MARK)?.split_once(' ')?;
        let crc = u32::from_str_radix(crc, 16).ok()?;
        (crc == crc32fast::hash(text.as_bytes())).then(|| Event::from_text(text)).flatten()
    }

    fn text(&self) -> String {
        match self {
            Event::Acknowledged { producer, batch, places } => {
                let mut text = format!("acknowledged {producer} {batch}");
                for place in places {
                    match place {
                        Some((shard, number)) => write!(text, " {shard}:{number}"),
                        None => write!(text, " -"),
                    }
                    .expect("a string takes everything");
                }
                text
            }
            Event::Sending { producer, batch } => format!("sending {producer} {batch}"),
            Event::Shown { stream, shard, from, records } => {
                format!("shown {stream} {shard} {from}{}", list(records))
            }
            Event::Stood { stream, shard, records } => {
                format!("stood {stream} {shard}{}", list(records))
            }
            Event::Created(name) => format!("created {name}"),
            Event::Deleted(name) => format!("deleted {name}"),
            Event::Damage(words) => format!("damage {words}"),
        }
    }

    fn from_text(text: &str) -> Option<Event> {
        let (kind, rest) = text.split_once(' ')?;
        let mut words = rest.split(' ');
        Some(match kind {
            "acknowledged" => Event::Acknowledged {
                producer: words.next()?.parse().ok()?,
                batch: words.next()?.parse().ok()?,
                places: words.map(place).collect::<Option<_>>()?,
            },
            "sending" => Event::Sending {
                producer: words.next()?.parse().ok()?,
                batch: words.next()?.parse().ok()?,
            },
            "shown" => Event::Shown {
                stream: words.next()?.parse().ok()?,
                shard: words.next()?.parse().ok()?,
                from: words.next()?.parse().ok()?,
                records: words.map(seen).collect::<Option<_>>()?,
            },
            "stood" => Event::Stood {
                stream: words.next()?.parse().ok()?,
                shard: words.next()?.parse().ok()?,
                records: words.map(seen).collect::<Option<_>>()?,
            },
            "created" => Event::Created(rest.to_owned()),
            "deleted" => Event::Deleted(rest.to_owned()),
            "damage" => Event::Damage(rest.to_owned()),
            _ => return None,
        })
    }
}

/// `SHARD:NUMBER`, or `-` for none; the outer `None` is for a word that is neither.
#[expect(clippy::option_option, reason = "malformed and refused are two things")]
fn place(word: &str) -> Option<Option<(u32, u64)>> {
    match word {
        "-" => Some(None),
        _ => {
            let (shard, number) = word.split_once(':')?;
            Some(Some((shard.parse().ok()?, number.parse().ok()?)))
        }
    }
}

/// ` NUMBER:DIGEST:ARRIVAL` for each.
fn list(records: &[Seen]) -> String {
    let mut text = String::new();
    for Seen { number, digest, arrival_ms } in records {
        write!(text, " {number}:{digest}:{arrival_ms}").expect("a string takes everything");
    }
    text
}

/// `NUMBER:DIGEST:ARRIVAL`.
fn seen(word: &str) -> Option<Seen> {
    let mut numbers = word.split(':').map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    Some(Seen { number: next()?, digest: next()?, arrival_ms: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_back_from_a_whole_line_only() {
        let record = Seen { number: 4, digest: u64::MAX, arrival_ms: 9 };
        let events = [
            Event::Acknowledged { producer: 3, batch: 9, places: vec![Some((1, 77)), None] },
            Event::Sending { producer: 1, batch: u64::MAX },
            Event::Shown { stream: 1, shard: 0, from: 4, records: vec![record] },
            Event::Stood { stream: 0, shard: 3, records: vec![record, record] },
            Event::Stood { stream: 0, shard: 3, records: vec![] },
            Event::Created("wide".to_owned()),
            Event::Damage("in a file, at an offset".to_owned()),
        ];
        for event in events {
            let line = event.line();
            assert_eq!(Event::from_line(&line), Some(event.clone()));
            assert_eq!(Event::from_line(&format!("{line}\r\n")), Some(event));
            for end in 0..line.len() {
                assert_eq!(Event::from_line(&line[..end]), None, "{line}, {end}");
            }
        }
        assert_eq!(Event::from_line("a kernel says something"), None);
    }
}
