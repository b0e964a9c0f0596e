//! The settings of a server: every flag of `serve` is a TOML key and an `ANABRANCH_` variable of
//! the same name, and there is no setting that is not all three.
//!
//! A [`Layer`] is what one source says, with nothing where it says nothing. [`resolve`] puts the
//! three over the defaults: flags win, then the environment, then the file. It also notes where
//! each value came from, because the first question about a server that behaves oddly is which
//! of its settings somebody set, and where. Reading a layer touches no global state (the
//! environment comes in as a function), so precedence is tested without setting variables.
//!
//! A key that nobody knows is an error, with the nearest known one: a misspelt `durability` that
//! is silently ignored would be found after the power cut.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anabranch_engine::ids::StreamName;
use anabranch_engine::limits::SHARDS_PER_STREAM_MAX;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The keys of the file; a variable's name is `ANABRANCH_` and the key in capitals.
const KEYS: [&str; 11] = [
    "data",
    "listen",
    "admin_listen",
    "durability",
    "read_mode",
    "account_id",
    "region",
    "insecure",
    "log_level",
    "log_format",
    "stream",
];

/// The keys of a `[[stream]]` table.
const STREAM_KEYS: [&str; 2] = ["name", "shards"];

/// What a server is started with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where metrics and health are served.
    pub admin_listen: SocketAddr,
    /// When a put is acknowledged.
    pub durability: Durability,
    /// How segments are read.
    pub read_mode: ReadMode,
    /// The account in ARNs: twelve digits.
    pub account_id: String,
    /// The region in ARNs.
    pub region: String,
    /// Whether to listen beyond loopback although there are no credentials.
    pub insecure: bool,
    /// The least severe log lines that are written.
    pub log_level: LogLevel,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Streams that are made, where they do not exist, before anything connects.
    pub streams: Vec<NewStream>,
}

impl Config {
    /// The defaults, on a data directory of one's own.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4567),
            admin_listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4570),
            durability: Durability::Fsync,
            read_mode: ReadMode::Mmap,
            account_id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            insecure: false,
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
            streams: Vec::new(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new("anabranch-data")
    }
}

/// What one source (flags, environment or file) says.
#[derive(Clone, Default, PartialEq, Eq, Debug, clap::Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Directory that holds the data; made if missing [default: ./anabranch-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Address for clients; port 0 takes a free one [default: 127.0.0.1:4567]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// Address for /metrics, /healthz and /readyz [default: 127.0.0.1:4570]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,

    /// When a put is acknowledged [default: fsync]
    #[arg(long, value_enum)]
    durability: Option<Durability>,

    /// How segments are read [default: mmap]
    #[arg(long, value_enum)]
    read_mode: Option<ReadMode>,

    /// Account in ARNs, twelve digits [default: 000000000000]
    #[arg(long, value_name = "DIGITS")]
    account_id: Option<String>,

    /// Region in ARNs [default: us-east-1]
    #[arg(long, value_name = "NAME")]
    region: Option<String>,

    /// Listen beyond loopback although anyone who can connect may read and write
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    insecure: Option<bool>,

    /// Least severe log lines to write [default: info]
    #[arg(long, value_enum)]
    log_level: Option<LogLevel>,

    /// How log lines are written to stderr [default: text]
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,

    /// Stream to make at start where it does not exist; may be given several times
    #[arg(long, value_name = "NAME:SHARDS")]
    stream: Option<Vec<NewStream>>,
}

impl Layer {
    /// What the environment says; `variable` looks one variable up.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Self, ConfigError> {
        let environment = Environment(variable);
        Ok(Self {
            data: environment.path("ANABRANCH_DATA"),
            listen: environment.value("ANABRANCH_LISTEN")?,
            admin_listen: environment.value("ANABRANCH_ADMIN_LISTEN")?,
            durability: environment.value("ANABRANCH_DURABILITY")?,
            read_mode: environment.value("ANABRANCH_READ_MODE")?,
            account_id: environment.value("ANABRANCH_ACCOUNT_ID")?,
            region: environment.value("ANABRANCH_REGION")?,
            insecure: environment.value("ANABRANCH_INSECURE")?,
            log_level: environment.value("ANABRANCH_LOG_LEVEL")?,
            log_format: environment.value("ANABRANCH_LOG_FORMAT")?,
            stream: environment.list("ANABRANCH_STREAM")?,
        })
    }

    /// What a TOML file says; `path` is for messages.
    pub fn from_toml(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let invalid = |error: toml::de::Error| ConfigError::File {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        };
        // Keys are checked before values, because serde's own refusal of an unknown key has
        // no suggestion.
        let table: toml::Table = text.parse().map_err(invalid)?;
        check_keys(path, "", table.keys(), &KEYS)?;
        let streams = table.get("stream").and_then(toml::Value::as_array);
        for stream in streams.into_iter().flatten() {
            if let Some(stream) = stream.as_table() {
                check_keys(path, "stream.", stream.keys(), &STREAM_KEYS)?;
            }
        }
        toml::from_str(text).map_err(invalid)
    }

    /// What the TOML file at `path` says.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::from_toml(path, &text)
    }
}

/// Puts the sources over each other and says where each value came from.
pub fn resolve(
    flags: Layer,
    environment: Layer,
    file: Layer,
) -> Result<(Config, Vec<Setting>), ConfigError> {
    let default = Config::default();
    let mut settings = Vec::with_capacity(KEYS.len());
    macro_rules! pick {
        ($key:ident, $default:expr, $show:expr) => {{
            let (value, origin) = [
                (flags.$key, Origin::Flag),
                (environment.$key, Origin::Environment),
                (file.$key, Origin::File),
            ]
            .into_iter()
            .find_map(|(value, origin)| value.map(|value| (value, origin)))
            .unwrap_or(($default, Origin::Default));
            settings.push(Setting { name: stringify!($key), value: $show(&value), origin });
            value
        }};
        ($key:ident) => {
            pick!($key, default.$key, ToString::to_string)
        };
    }
    let config = Config {
        data: pick!(data, default.data, |data: &PathBuf| data.display().to_string()),
        listen: pick!(listen),
        admin_listen: pick!(admin_listen),
        durability: pick!(durability),
        read_mode: pick!(read_mode),
        account_id: pick!(account_id),
        region: pick!(region),
        insecure: pick!(insecure),
        log_level: pick!(log_level),
        log_format: pick!(log_format),
        // A list is one value: streams named by a flag replace those of the file.
        streams: pick!(stream, default.streams, |streams: &Vec<NewStream>| {
            let streams: Vec<_> = streams.iter().map(ToString::to_string).collect();
            streams.join(",")
        }),
    };
    check_account_id(&config.account_id)?;
    check_region(&config.region)?;
    Ok((config, settings))
}

/// A value that is in force, for `config show`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// The value as it would be typed.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A flag.
    Flag,
    /// An `ANABRANCH_` variable.
    Environment,
    /// The file.
    File,
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Flag => "flag",
            Origin::Environment => "environment",
            Origin::File => "file",
            Origin::Default => "default",
        })
    }
}

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

text_of_value_enum!(Durability ReadMode LogLevel LogFormat);

impl From<Durability> for anabranch_engine::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Fsync => Self::Fsync,
            Durability::Os => Self::Os,
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

/// Settings that a server cannot be started with.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is not TOML, or a value in it is not one of the allowed.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the TOML reader says, with the line.
        message: String,
    },
    /// A key that nobody knows.
    #[error("{}: unknown key `{key}`{}", path.display(), Suggestion(suggestion.as_deref()))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The nearest known key, if one is near.
        suggestion: Option<String>,
    },
    /// A variable's value is not one of the allowed.
    #[error("{name}={value:?}: {message}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        message: String,
    },
    /// The account id is not twelve digits.
    #[error("account_id is {0:?}; an account id has twelve digits, such as 000000000000")]
    AccountId(String),
    /// The region is not a region's name.
    #[error("region is {0:?}; a region has 1 to 64 of a-z 0-9 -, such as us-east-1")]
    Region(String),
}

struct Suggestion<'a>(Option<&'a str>);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => write!(f, "; did you mean `{key}`?"),
            None => write!(f, "; `anabranch config show` lists the keys"),
        }
    }
}

fn check_keys<'a>(
    path: &Path,
    prefix: &str,
    keys: impl Iterator<Item = &'a String>,
    known: &[&str],
) -> Result<(), ConfigError> {
    for key in keys {
        if !known.contains(&key.as_str()) {
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                key: format!("{prefix}{key}"),
                suggestion: nearest(key, known).map(|near| format!("{prefix}{near}")),
            });
        }
    }
    Ok(())
}

/// The known key that `key` was probably meant to be. A flag's spelling (`admin-listen`) and a
/// typing error are near; a word that shares little with any key has no suggestion.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|&candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

fn check_account_id(text: &str) -> Result<(), ConfigError> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(ConfigError::AccountId(text.to_owned()))
    }
}

fn check_region(text: &str) -> Result<(), ConfigError> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(legal) {
        Ok(())
    } else {
        Err(ConfigError::Region(text.to_owned()))
    }
}

/// The environment, and how a variable is read. A variable that is set to nothing counts as not
/// set, as it does in most shells' scripts.
struct Environment<F>(F);

impl<F: Fn(&str) -> Option<std::ffi::OsString>> Environment<F> {
    fn path(&self, name: &'static str) -> Option<PathBuf> {
        (self.0)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        (self.0)(name)
            .filter(|value| !value.is_empty())
            .map(|value| {
                value.into_string().map_err(|value| ConfigError::Variable {
                    name,
                    value: value.to_string_lossy().into_owned(),
                    message: "not valid UTF-8".to_owned(),
                })
            })
            .transpose()
    }

    fn value<T: FromStr<Err: fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        self.text(name)?.map(|text| parse_variable(name, &text)).transpose()
    }

    /// A list's values are separated by commas.
    fn list<T: FromStr<Err: fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        self.text(name)?
            .map(|text| text.split(',').map(|part| parse_variable(name, part)).collect())
            .transpose()
    }
}

fn parse_variable<T: FromStr<Err: fmt::Display>>(
    name: &'static str,
    text: &str,
) -> Result<T, ConfigError> {
    text.parse().map_err(|error: T::Err| ConfigError::Variable {
        name,
        value: text.to_owned(),
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        layer: Layer,
    }

    fn flags(line: &str) -> Layer {
        let words = std::iter::once("serve").chain(line.split_whitespace());
        Flags::try_parse_from(words).unwrap().layer
    }

    fn environment(pairs: &[(&str, &str)]) -> Result<Layer, ConfigError> {
        Layer::from_environment(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    fn file(text: &str) -> Result<Layer, ConfigError> {
        Layer::from_toml(Path::new("a.toml"), text)
    }

    fn origin_of(settings: &[Setting], name: &str) -> Origin {
        settings.iter().find(|s| s.name == name).unwrap().origin
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let (config, settings) = resolve(
            flags("--region from-flag"),
            environment(&[
                ("ANABRANCH_REGION", "from-environment"),
                ("ANABRANCH_ACCOUNT_ID", "111111111111"),
            ])
            .unwrap(),
            file(
                "region = 'from-file'\naccount_id = '222222222222'\ndurability = 'os'\n\
                 [[stream]]\nname = 'orders'\nshards = 4\n",
            )
            .unwrap(),
        )
        .unwrap();
        assert_eq!(config.region, "from-flag");
        assert_eq!(config.account_id, "111111111111");
        assert_eq!(config.durability, Durability::Os);
        assert_eq!(config.listen, Config::default().listen);
        assert_eq!(config.streams, ["orders:4".parse().unwrap()]);
        let origins = ["region", "account_id", "durability", "listen"];
        assert_eq!(
            origins.map(|name| origin_of(&settings, name)),
            [Origin::Flag, Origin::Environment, Origin::File, Origin::Default]
        );
    }

    #[test]
    fn every_setting_is_a_flag_a_variable_and_a_key() {
        let pairs = [
            ("data", "/d"),
            ("listen", "127.0.0.1:1"),
            ("admin_listen", "127.0.0.1:2"),
            ("durability", "os"),
            ("read_mode", "pread"),
            ("account_id", "123456789012"),
            ("region", "eu-west-1"),
            ("insecure", "true"),
            ("log_level", "debug"),
            ("log_format", "json"),
            ("stream", "orders:4"),
        ];
        assert_eq!(pairs.map(|(key, _)| key), KEYS);
        let line: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("--{}={value}", key.replace('_', "-")))
            .collect();
        let variables: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (format!("ANABRANCH_{}", key.to_uppercase()), *value))
            .collect();
        let variables: Vec<_> = variables.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        let text: String = pairs
            .iter()
            .map(|(key, value)| match *key {
                "stream" => "stream = [{ name = 'orders', shards = 4 }]\n".to_owned(),
                "insecure" => format!("insecure = {value}\n"),
                _ => format!("{key} = '{value}'\n"),
            })
            .collect();
        let from_flags = flags(&line.join(" "));
        assert_eq!(from_flags, environment(&variables).unwrap());
        assert_eq!(from_flags, file(&text).unwrap());
        let (_, settings) = resolve(from_flags, Layer::default(), Layer::default()).unwrap();
        assert!(settings.iter().all(|s| s.origin == Origin::Flag));
        assert_eq!(settings.len(), KEYS.len());
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let message = |text| file(text).unwrap_err().to_string();
        assert_eq!(
            message("durabilty = 'os'"),
            "a.toml: unknown key `durabilty`; did you mean `durability`?"
        );
        assert_eq!(
            message("admin-listen = '127.0.0.1:1'"),
            "a.toml: unknown key `admin-listen`; did you mean `admin_listen`?"
        );
        assert_eq!(
            message("[[stream]]\nname = 'a'\nshard = 1"),
            "a.toml: unknown key `stream.shard`; did you mean `stream.shards`?"
        );
        assert_eq!(
            message("quux = 1"),
            "a.toml: unknown key `quux`; `anabranch config show` lists the keys"
        );
    }

    #[test]
    fn a_bad_value_names_its_place() {
        let refused = environment(&[("ANABRANCH_DURABILITY", "sometimes")]).unwrap_err();
        assert_eq!(refused.to_string(), "ANABRANCH_DURABILITY=\"sometimes\": expected fsync or os");
        let refused = file("region = 'a'\nlisten = 4567").unwrap_err().to_string();
        assert!(refused.contains("a.toml") && refused.contains("line 2"), "{refused}");
        for stream in ["orders", "orders:", "orders:0", "orders:10001", "a/b:1"] {
            assert!(stream.parse::<NewStream>().is_err(), "{stream}");
        }
        for account in ["", "12345678901", "12345678901x"] {
            assert!(check_account_id(account).is_err(), "{account}");
        }
        assert!(check_region("US").is_err() && check_region("eu-west-1").is_ok());
    }

    #[test]
    fn a_variable_set_to_nothing_is_not_set() {
        let layer = environment(&[("ANABRANCH_DATA", ""), ("ANABRANCH_LISTEN", "")]).unwrap();
        assert_eq!(layer, Layer::default());
    }
}
