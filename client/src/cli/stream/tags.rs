//! `stream tags`: keys and values that mean something to people and to their scripts.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::failure::Failure;
use crate::cli::output::{print_list, print_object};
use crate::cli::{DONE, Global, OutputFormat, connect};

/// Which stream, and what to change.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  anabranch stream tags orders
  anabranch stream tags orders team=web tier=1
  anabranch stream tags orders --remove tier")]
pub struct TagsArguments {
    /// The stream
    name: String,
    /// Tags to set
    #[arg(value_name = "KEY=VALUE", value_parser = parse_tag)]
    set: Vec<(String, String)>,
    /// A tag to remove; may be given several times
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,
}

pub(super) async fn run(arguments: TagsArguments, global: &Global) -> Result<i32, Failure> {
    let TagsArguments { name, set, remove } = arguments;
    if let Some((key, _)) = set.iter().find(|(key, _)| remove.contains(key)) {
        return Err(Failure::usage(format!("tag {key} is to be set and to be removed")));
    }
    let client = connect(global).await?;
    let about = |error| Failure::about_stream(&name, error);
    // First, so that there is room for the others.
    if !remove.is_empty() {
        client.remove_tags_from_stream(&name, remove).await.map_err(about)?;
    }
    if !set.is_empty() {
        client.add_tags_to_stream(&name, set).await.map_err(about)?;
    }
    let tags = client.list_tags_for_stream(&name).await.map_err(about)?;
    if global.output == OutputFormat::Table {
        if tags.is_empty() {
            eprintln!(
                "stream {name} has no tags; set one with: anabranch stream tags {name} KEY=VALUE"
            );
            return Ok(DONE);
        }
        let rows = tags.into_iter().map(|tag| vec![tag.key, tag.value]);
        print_list(global.output, &["KEY", "VALUE"], rows.collect(), Vec::new())?;
        return Ok(DONE);
    }
    let tags: Map<String, Value> =
        tags.into_iter().map(|tag| (tag.key, Value::from(tag.value))).collect();
    print_object(global.output, "", &json!({ "stream_name": name, "tags": tags }))?;
    Ok(DONE)
}

/// Reads `KEY=VALUE`; the value may be empty and may hold more of these signs.
pub(super) fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("not a tag such as team=web".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_key_and_what_follows_the_first_sign() {
        let tag = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(parse_tag("team=web"), tag("team", "web"));
        assert_eq!(parse_tag("empty="), tag("empty", ""));
        assert_eq!(parse_tag("query=a=b"), tag("query", "a=b"));
        assert!(parse_tag("team").is_err() && parse_tag("=web").is_err());
    }
}
