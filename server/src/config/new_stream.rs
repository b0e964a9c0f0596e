//! A stream that a server makes at its start, and what is set on it then.

use std::fmt;
use std::str::FromStr;

use anabranch_engine::StreamSettings;
use anabranch_engine::ids::StreamName;
use anabranch_engine::limits::{
    RETENTION_HOURS_DEFAULT, RETENTION_HOURS_MAX, RETENTION_HOURS_MIN, SHARDS_PER_STREAM_MAX,
};
use anabranch_engine::settings::{StreamMode, Tags};
use serde::Deserialize;

use super::Quotas;
use crate::ops::tags;

/// Shards of an on-demand stream that is made without saying how many (service).
const ON_DEMAND_SHARDS: u32 = 4;

/// A stream to make at start: `NAME:SHARDS`, or a `[[stream]]` table, which can say more. A stream
/// that is there already is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "StreamTable")]
pub struct NewStream {
    /// The stream's name.
    pub name: StreamName,
    /// Shards it is made with.
    pub shards: u32,
    /// Who decides on the number of its shards from then on.
    pub mode: StreamMode,
    /// Hours that its records are kept: 24 to 8,760.
    pub retention_hours: u32,
    /// Its own limits, if it is to have any.
    pub quotas: Option<Quotas>,
    /// Its tags.
    pub tags: Tags,
}

impl NewStream {
    /// What is set on it, as the engine has it.
    pub fn settings(&self) -> StreamSettings {
        StreamSettings {
            mode: self.mode,
            quotas: self.quotas.map(Into::into),
            tags: self.tags.clone(),
            ..StreamSettings::default()
        }
    }
}

/// The words for who decides on the number of shards, as the command line has them.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    Provisioned,
    OnDemand,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamTable {
    name: String,
    shards: Option<u32>,
    #[serde(default)]
    mode: Mode,
    retention_hours: Option<u32>,
    quotas: Option<Quotas>,
    #[serde(default)]
    tags: Tags,
}

impl TryFrom<StreamTable> for NewStream {
    type Error = String;

    fn try_from(table: StreamTable) -> Result<Self, String> {
        let name = table
            .name
            .parse()
            .map_err(|error| format!("{:?} is no stream name: {error}", table.name))?;
        let (mode, shards) = match (table.mode, table.shards) {
            (Mode::Provisioned, Some(shards)) => (StreamMode::Provisioned, shards),
            (Mode::Provisioned, None) => {
                return Err(format!("stream {name} has no `shards`: say how many it is to have"));
            }
            (Mode::OnDemand, None) => (StreamMode::OnDemand, ON_DEMAND_SHARDS),
            (Mode::OnDemand, Some(_)) => {
                return Err(format!(
                    "stream {name} is on-demand and decides on its shards itself: leave `shards` \
                     out"
                ));
            }
        };
        if !(1..=SHARDS_PER_STREAM_MAX).contains(&shards) {
            return Err(format!("a stream has 1 to {SHARDS_PER_STREAM_MAX} shards, not {shards}"));
        }
        let retention_hours = table.retention_hours.unwrap_or(RETENTION_HOURS_DEFAULT);
        if !(RETENTION_HOURS_MIN..=RETENTION_HOURS_MAX).contains(&retention_hours) {
            return Err(format!(
                "records are kept for {RETENTION_HOURS_MIN} to {RETENTION_HOURS_MAX} hours, not \
                 {retention_hours}"
            ));
        }
        tags::check(&table.tags).map_err(|refusal| format!("stream {name}: {refusal}"))?;
        Ok(Self { name, shards, mode, retention_hours, quotas: table.quotas, tags: table.tags })
    }
}

impl FromStr for NewStream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, shards) =
            text.split_once(':').ok_or("expected NAME:SHARDS, such as orders:4")?;
        let shards = shards.parse().map_err(|_| format!("{shards:?} is no number of shards"))?;
        Self::try_from(StreamTable {
            name: name.to_owned(),
            shards: Some(shards),
            mode: Mode::default(),
            retention_hours: None,
            quotas: None,
            tags: Tags::new(),
        })
    }
}

impl fmt::Display for NewStream {
    /// `NAME:SHARDS`, and in brackets what only a table can say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.shards)?;
        let mut more = Vec::new();
        if self.mode == StreamMode::OnDemand {
            more.push("on-demand".to_owned());
        }
        if self.retention_hours != RETENTION_HOURS_DEFAULT {
            more.push(format!("{} hours", self.retention_hours));
        }
        more.extend(self.quotas.map(|quotas| format!("quotas {quotas}")));
        more.extend(self.tags.iter().map(|(key, value)| format!("{key}={value}")));
        if more.is_empty() { Ok(()) } else { write!(f, "[{}]", more.join(" ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<NewStream, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_says_what_is_set_on_a_stream() {
        let stream = table(
            "name = 'orders'\nshards = 4\nretention_hours = 168\nquotas = 'aws'\n\
             tags = { team = 'web', tier = '1' }",
        )
        .unwrap();
        assert_eq!(stream.to_string(), "orders:4[168 hours quotas aws team=web tier=1]");
        let settings = stream.settings();
        assert_eq!(settings.quotas, Some(Quotas::Aws.into()));
        assert_eq!(settings.tags["team"], "web");
        let stream = table("name = 'clicks'\nmode = 'on-demand'").unwrap();
        assert_eq!((stream.shards, stream.settings().mode), (4, StreamMode::OnDemand));
        assert_eq!(table("name = 'a'\nshards = 2").unwrap(), "a:2".parse().unwrap());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_way_out() {
        for (text, words) in [
            ("name = 'a'", "say how many"),
            ("name = 'a'\nshards = 0", "1 to 10000 shards, not 0"),
            ("name = 'a'\nshards = 2\nmode = 'on-demand'", "leave `shards` out"),
            ("name = 'a'\nshards = 2\nmode = 'sometimes'", "sometimes"),
            ("name = 'a'\nshards = 2\nretention_hours = 1", "24 to 8760 hours, not 1"),
            ("name = 'a/b'\nshards = 2", "is no stream name"),
            ("name = 'a'\nshards = 2\ntags = { 'aws:team' = 'x' }", "begin with aws:"),
            ("name = 'a'\nshards = 2\ntags = { team = 'a&b' }", "invalid characters"),
            ("name = 'a'\nshards = 2\ntags = { '' = 'x' }", "has 0 characters"),
        ] {
            let refused = table(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
