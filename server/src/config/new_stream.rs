//! A stream that a server makes at its start.

use std::fmt;
use std::str::FromStr;

use anabranch_engine::ids::StreamName;
use anabranch_engine::limits::SHARDS_PER_STREAM_MAX;
use serde::Deserialize;

/// A stream to make at start: `NAME:SHARDS`, or a `[[stream]]` table.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "StreamTable")]
pub struct NewStream {
    /// The stream's name.
    pub name: StreamName,
    /// Shards it is made with; an existing stream keeps those it has.
    pub shards: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamTable {
    name: String,
    shards: u32,
}

impl TryFrom<StreamTable> for NewStream {
    type Error = String;

    fn try_from(table: StreamTable) -> Result<Self, String> {
        let name = table
            .name
            .parse()
            .map_err(|error| format!("{:?} is no stream name: {error}", table.name))?;
        if !(1..=SHARDS_PER_STREAM_MAX).contains(&table.shards) {
            return Err(format!(
                "a stream has 1 to {SHARDS_PER_STREAM_MAX} shards, not {}",
                table.shards
            ));
        }
        Ok(Self { name, shards: table.shards })
    }
}

impl FromStr for NewStream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, shards) =
            text.split_once(':').ok_or("expected NAME:SHARDS, such as orders:4")?;
        Self::try_from(StreamTable {
            name: name.to_owned(),
            shards: shards.parse().map_err(|_| format!("{shards:?} is no number of shards"))?,
        })
    }
}

impl fmt::Display for NewStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.shards)
    }
}
