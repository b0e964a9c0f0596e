//! Files cut by a stranger under a running server: the server lives, what is whole is served,
//! and what is gone is told.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::damage::Tally;
use crate::support::Random;
use crate::torture::server::{Durability, Server};
use crate::torture::{Plan, program};

/// Records put before the cut: several segments of them.
const RECORDS: usize = 900;

/// Exit code of a command that met damage.
const DAMAGE: i32 = 3;

/// Cuts `files` files, one in the life of each server.
pub(super) fn run(plan: &Plan, files: u64) -> Result<Tally> {
    let tally = Tally::default();
    let mut random = Random(plan.seed());
    let lines: Vec<String> = (0..RECORDS).map(|n| format!("{n} {}", "x".repeat(2_000))).collect();
    let input = plan.scratch().join("lines");
    std::fs::write(&input, lines.join("\n") + "\n")?;
    for life in 0..files {
        let data = plan.scratch().join(format!("cut-{life}"));
        let outcome = one(&data, &input, &lines, &mut random);
        tally.case();
        tally.expect(outcome.is_ok(), || format!("life {life}: {outcome:?}"));
        if tally.is_enough() {
            break;
        }
        std::fs::remove_dir_all(&data)?;
        plan.advance(1);
    }
    Ok(tally)
}

fn one(data: &Path, input: &Path, lines: &[String], random: &mut Random) -> Result<()> {
    let mut server = Server::spawn(data, Durability::Fsync, &data.with_extension("log"))?;
    let url = format!("http://{}", server.ready()?);
    let run = |arguments: &[&str]| -> Result<Output> {
        let mut command: Command = program();
        Ok(command.args(["--server", &url]).args(arguments).output()?)
    };
    let tail = ["tail", "s", "--from", "trim-horizon", "--until-tip", "--output", "raw"];
    ensure!(run(&["stream", "create", "s", "--shards", "1"])?.status.success(), "no stream");
    let put = run(&["put", "s", input.to_str().context("a path of ours")?])?;
    ensure!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    // Maps that stand when the file is cut, and maps that are made afterwards.
    if random.below(2) == 0 {
        ensure!(run(&tail)?.status.success(), "a whole stream is read");
    }
    let mut segments: Vec<_> = std::fs::read_dir(data.join("shards/1/0"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    segments.sort();
    let path = &segments[random.below(segments.len() as u64) as usize];
    let file = File::options().write(true).open(path)?;
    let len = file.metadata()?.len();
    file.set_len(random.below(len))?;
    for _ in 0..2 {
        let read = run(&tail)?;
        let text = String::from_utf8_lossy(&read.stdout);
        let mut position = 0;
        let mut count = 0;
        for line in text.lines() {
            let at = lines[position..].iter().position(|known| known == line);
            position += 1 + at.with_context(|| format!("wrong bytes: {line:.40}"))?;
            count += 1;
        }
        let said = String::from_utf8_lossy(&read.stderr);
        match read.status.code() {
            Some(0) => ensure!(count == lines.len(), "{count} records, and no word of the rest"),
            code => ensure!(code == Some(DAMAGE) && said.contains("lost"), "{code:?}: {said}"),
        }
    }
    server.stop()
}
