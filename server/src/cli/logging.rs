//! Log lines go to standard error, as text for people or as one JSON object a line for
//! machines. Standard output is for results, which scripts read.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogLevel};

/// Begins to write log lines.
pub(crate) fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // `debug` is for what this server does; its libraries' own steps, every HTTP/2 frame among
    // them, come with `trace`.
    let libraries = match level {
        LevelFilter::DEBUG => LevelFilter::INFO,
        other => other,
    };
    let targets = Targets::new()
        .with_default(libraries)
        .with_target("anabranch", level)
        .with_target("anabranch_server", level)
        .with_target("anabranch_engine", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => {
            lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(targets)).init();
}
