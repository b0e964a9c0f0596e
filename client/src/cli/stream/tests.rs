//! The commands against a server in memory.

use super::*;
use crate::cli::{DONE, OutputFormat};
use crate::fake::Fake;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: StreamCommand,
}

fn parse(line: &str) -> Result<StreamCommand, clap::Error> {
    let words = std::iter::once("stream").chain(line.split(' '));
    Line::try_parse_from(words).map(|line| line.command)
}

#[test]
fn every_command_is_understood_and_what_makes_no_sense_is_not() {
    use clap::CommandFactory;
    Line::command().debug_assert();
    for line in [
        "create s --mode on-demand --tag a=b --tag c=",
        "split s 0 --at 340282366920938463463374607431768211455",
        "merge s 0 shardId-000000000001",
        "scale s 40 --steps",
        "mode s provisioned",
        "quotas s default",
        "tags s a=b --remove c --remove d",
        "size --in-kib-s 1 --consumers 2",
        "shards s --all --ascii",
        "advise s",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
    for line in [
        "create s --mode sometimes",
        "create s --tag web",
        "split s 0 --at -1",
        "split s 0 --at 340282366920938463463374607431768211456",
        "merge s 0",
        "scale s 0",
        "scale s 10001",
        "quotas s none",
        "size --in-kib-s 1",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[tokio::test]
async fn a_stream_lives_from_create_to_delete() {
    let (_fake, client) = Fake::start().await;
    let global = Global {
        server: client.server().to_string(),
        trust: crate::Trust::default(),
        identity: None,
        output: OutputFormat::default(),
    };
    let again = "create s --shards 2";
    assert_eq!(run(parse(again).unwrap(), &global).await.unwrap(), DONE);
    let taken = run(parse(again).unwrap(), &global).await.unwrap_err();
    assert!(taken.text.ends_with("anabranch stream describe s"), "{}", taken.text);
    for line in ["list", "shards s", "retention s 48h", "delete s --yes"] {
        assert_eq!(run(parse(line).unwrap(), &global).await.unwrap(), DONE, "{line}");
    }
    for line in [
        "describe s",
        "shards s",
        "split s 0",
        "merge s 0 1",
        "scale s 4",
        "advise s",
        "delete s --yes",
    ] {
        let gone = run(parse(line).unwrap(), &global).await.unwrap_err();
        assert!(gone.text.ends_with("anabranch stream create s"), "{line}: {}", gone.text);
    }
}
