//! What one source says: flags, the environment, or a TOML file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::environment::Environment;
use super::{
    ConfigError, ControlDelays, Durability, LogFormat, LogLevel, NewStream, Quotas, ReadMode,
};

/// The keys of the file; a variable's name is `ANABRANCH_` and the key in capitals.
pub(super) const KEYS: [&str; 18] = [
    "data",
    "listen",
    "admin_listen",
    "durability",
    "read_mode",
    "quotas",
    "control_delays",
    "request_mib",
    "account_id",
    "region",
    "insecure",
    "tls_cert",
    "tls_key",
    "tls_auto",
    "credentials",
    "log_level",
    "log_format",
    "stream",
];

/// The keys of a `[[stream]]` table.
const STREAM_KEYS: [&str; 6] = ["name", "shards", "mode", "retention_hours", "quotas", "tags"];

/// What one source (flags, environment or file) says.
#[derive(Clone, Default, PartialEq, Eq, Debug, clap::Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Directory that holds the data; made if missing [default: ./anabranch-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,

    /// Address for clients; port 0 takes a free one [default: 127.0.0.1:4567]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,

    /// Address for /metrics, /healthz and /readyz [default: 127.0.0.1:4570]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) admin_listen: Option<SocketAddr>,

    /// When a put is acknowledged [default: fsync]
    #[arg(long, value_enum)]
    pub(super) durability: Option<Durability>,

    /// How segments are read [default: mmap]
    #[arg(long, value_enum)]
    pub(super) read_mode: Option<ReadMode>,

    /// Limits beside those of size, where a stream has none of its own [default: open]
    #[arg(long, value_enum)]
    pub(super) quotas: Option<Quotas>,

    /// For how long streams are CREATING, UPDATING and DELETING: `aws` imitates the real service
    /// [default: none]
    #[arg(long, value_enum)]
    pub(super) control_delays: Option<ControlDelays>,

    /// Memory for requests that are not answered yet, all together [default: 128]
    #[arg(long, value_name = "MIB")]
    pub(super) request_mib: Option<u32>,

    /// Account in ARNs, twelve digits [default: 000000000000]
    #[arg(long, value_name = "DIGITS")]
    pub(super) account_id: Option<String>,

    /// Region in ARNs [default: us-east-1]
    #[arg(long, value_name = "NAME")]
    pub(super) region: Option<String>,

    /// Listen beyond loopback although anyone who can connect may read and write
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub(super) insecure: Option<bool>,

    /// TLS for clients: PEM file with the chain of certificates, the server's own first; read
    /// again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,

    /// PEM file with the key of the certificate
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,

    /// TLS for clients with a certificate that the server makes and keeps in its data directory;
    /// clients trust it by the fingerprint that is shown at the start
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub(super) tls_auto: Option<bool>,

    /// File with the access keys, secrets and policies of those who may sign in; from then on
    /// nobody else may do anything; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub(super) credentials: Option<PathBuf>,

    /// Least severe log lines to write [default: info]
    #[arg(long, value_enum)]
    pub(super) log_level: Option<LogLevel>,

    /// How log lines are written to stderr [default: text]
    #[arg(long, value_enum)]
    pub(super) log_format: Option<LogFormat>,

    /// Stream to make at start where it does not exist; may be given several times
    #[arg(long, value_name = "NAME:SHARDS")]
    pub(super) stream: Option<Vec<NewStream>>,
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
            quotas: environment.value("ANABRANCH_QUOTAS")?,
            control_delays: environment.value("ANABRANCH_CONTROL_DELAYS")?,
            request_mib: environment.value("ANABRANCH_REQUEST_MIB")?,
            account_id: environment.value("ANABRANCH_ACCOUNT_ID")?,
            region: environment.value("ANABRANCH_REGION")?,
            insecure: environment.value("ANABRANCH_INSECURE")?,
            tls_cert: environment.path("ANABRANCH_TLS_CERT"),
            tls_key: environment.path("ANABRANCH_TLS_KEY"),
            tls_auto: environment.value("ANABRANCH_TLS_AUTO")?,
            credentials: environment.path("ANABRANCH_CREDENTIALS"),
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
