//! Settings that are one of a few words.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Deserialize;

/// When a put is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// After `fdatasync` has returned: survives a power cut
    Fsync,
    /// After the operating system has the bytes: survives the death of the process only
    Os,
}

/// How segments are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadMode {
    /// Through memory maps: no copy
    Mmap,
    /// With read calls: a failing disk is an error and never a signal
    Pread,
}

/// Which limits are kept beside those of size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quotas {
    /// None
    Open,
    /// Those of the real service
    Aws,
}

/// For how long control operations are shown to be under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlDelays {
    /// For as long as they are
    None,
    /// For some seconds, as by the real service
    Aws,
}

/// The least severe log lines that are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // The names say it all, and clap would print the documentation.
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

macro_rules! text_of_value_enum {
    ($($type:ident)*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = self.to_possible_value().expect("no variant is skipped");
                f.write_str(value.get_name())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                <$type as ValueEnum>::from_str(text, false).map_err(|_| {
                    let names: Vec<_> =
                        Self::value_variants().iter().map(ToString::to_string).collect();
                    format!("expected {}", names.join(" or "))
                })
            }
        }
    )*};
}

text_of_value_enum!(Durability ReadMode Quotas ControlDelays LogLevel LogFormat);

impl From<Durability> for anabranch_engine::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Fsync => Self::Fsync,
            Durability::Os => Self::Os,
        }
    }
}

impl From<Quotas> for anabranch_engine::settings::QuotaProfile {
    fn from(quotas: Quotas) -> Self {
        match quotas {
            Quotas::Open => Self::Open,
            Quotas::Aws => Self::Aws,
        }
    }
}

impl From<ReadMode> for anabranch_engine::fs::ReadMode {
    fn from(mode: ReadMode) -> Self {
        match mode {
            ReadMode::Mmap => Self::Mmap,
            ReadMode::Pread => Self::Pread,
        }
    }
}
