//! `stream retention`: for how long records are kept.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::output::print_object;
use crate::cli::{DONE, Global, connect};

/// For how long a stream's records are to be kept.
#[derive(Args, Debug)]
pub struct RetentionArguments {
    /// The stream
    pub(super) name: String,
    /// Whole hours from 24h to 8760h, such as 48h or 7d
    #[arg(value_parser = parse_retention)]
    pub(super) period: u32,
}

pub(super) async fn run(arguments: RetentionArguments, global: &Global) -> Result<i32, Failure> {
    let RetentionArguments { name, period: hours } = arguments;
    let client = connect(global).await?;
    let about = |error| Failure::about_stream(&name, error);
    let before = client.describe_stream_summary(&name).await.map_err(about)?;
    if hours >= before.retention_period_hours {
        client.increase_stream_retention_period(&name, hours).await.map_err(about)?;
    } else {
        client.decrease_stream_retention_period(&name, hours).await.map_err(about)?;
    }
    let words = format!(
        "stream {name} keeps its records for {hours} hours (before: {})",
        before.retention_period_hours
    );
    let object = json!({ "stream_name": name, "retention_period_hours": hours });
    print_object(global.output, &words, &object)?;
    Ok(DONE)
}

fn parse_retention(text: &str) -> Result<u32, String> {
    let period: Duration =
        humantime::parse_duration(text).map_err(|_| "not a period such as 48h or 7d".to_owned())?;
    let hours = period.as_secs() / 3600;
    if Duration::from_secs(hours * 3600) != period {
        return Err("only whole hours are kept".to_owned());
    }
    // Asked for less than a day, the server would name the limits of the way down from the
    // present period, which are none.
    match u32::try_from(hours) {
        Ok(hours @ 24..=8760) => Ok(hours),
        _ => Err("a period from 24h to 8760h is kept".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_a_period_of_whole_hours() {
        assert_eq!(parse_retention("48h"), Ok(48));
        assert_eq!(parse_retention("7d"), Ok(168));
        for wrong in ["48", "90m", "", "long", "23h", "8761h", "99999999999999h"] {
            assert!(parse_retention(wrong).is_err(), "{wrong}");
        }
    }
}
