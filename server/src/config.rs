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
mod choice;
mod environment;
mod error;
mod layer;
mod new_stream;
mod tls_source;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Serialize;

pub use self::choice::{ControlDelays, Durability, LogFormat, LogLevel, Quotas, ReadMode};
pub use self::error::ConfigError;
pub use self::layer::Layer;
pub use self::new_stream::NewStream;
pub use self::tls_source::TlsSource;

/// Mebibytes of requests in memory: a dozen of the largest batches at the same time.
const REQUEST_MIB_DEFAULT: u32 = 128;
/// One message of the largest size must fit.
const REQUEST_MIB_MIN: u32 = 16;

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
    /// Which limits hold where a stream has none of its own.
    pub quotas: Quotas,
    /// For how long streams are shown in a status in which they are not any more.
    pub control_delays: ControlDelays,
    /// MiB that requests may hold in memory until they are answered, all together: 16 at least,
    /// 128 by default. A call that finds too little left is throttled and may try again.
    pub request_mib: u32,
    /// The account in ARNs: twelve digits.
    pub account_id: String,
    /// The region in ARNs.
    pub region: String,
    /// Whether to listen beyond loopback although there are no credentials.
    pub insecure: bool,
    /// Where the certificate of the client port comes from; `None`: no TLS.
    pub tls: Option<TlsSource>,
    /// The file of those who may sign in; `None`: nobody has to.
    pub credentials: Option<PathBuf>,
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
            quotas: Quotas::Open,
            control_delays: ControlDelays::None,
            request_mib: REQUEST_MIB_DEFAULT,
            account_id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            insecure: false,
            tls: None,
            credentials: None,
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

/// Puts the sources over each other and says where each value came from.
pub fn resolve(
    flags: Layer,
    environment: Layer,
    file: Layer,
) -> Result<(Config, Vec<Setting>), ConfigError> {
    let default = Config::default();
    let mut settings = Vec::new();
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
    let path = |path: &PathBuf| path.display().to_string();
    let config = Config {
        data: pick!(data, default.data, path),
        listen: pick!(listen),
        admin_listen: pick!(admin_listen),
        durability: pick!(durability),
        read_mode: pick!(read_mode),
        quotas: pick!(quotas),
        control_delays: pick!(control_delays),
        request_mib: pick!(request_mib),
        account_id: pick!(account_id),
        region: pick!(region),
        insecure: pick!(insecure),
        // A path that is empty is none.
        tls: TlsSource::of(
            pick!(tls_cert, PathBuf::new(), path),
            pick!(tls_key, PathBuf::new(), path),
            pick!(tls_auto, false, ToString::to_string),
        )?,
        credentials: Some(pick!(credentials, PathBuf::new(), path))
            .filter(|path| !path.as_os_str().is_empty()),
        log_level: pick!(log_level),
        log_format: pick!(log_format),
        // A list is one value: streams named by a flag replace those of the file.
        streams: pick!(stream, default.streams, |streams: &Vec<NewStream>| {
            let streams: Vec<_> = streams.iter().map(ToString::to_string).collect();
            streams.join(",")
        }),
    };
    check_request_mib(config.request_mib)?;
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

fn check_request_mib(mib: u32) -> Result<(), ConfigError> {
    if mib >= REQUEST_MIB_MIN { Ok(()) } else { Err(ConfigError::RequestMib(mib)) }
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

#[cfg(test)]
mod tests;
