//! Directories that older versions left behind: opened, verified, read and written on by this
//! one, as the program that people have.

use std::path::Path;

use anabranch_client::{Client, Record};
use anabranch_engine::FORMAT_VERSION;
use anyhow::{Context, Result, bail};

use super::read::each_record;
use super::runtime;
use crate::golden;
use crate::torture::server::{Durability, Server, connect, verify};
use crate::torture::{Check, Figures, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "upgrade",
    tier: "real",
    rows: &["R25"],
    about: "the golden directory of every format version, served and written on by the binary",
    needs: &[],
    run,
};

/// Puts into each directory, which land in one shard or the other.
const PUTS: u64 = 8;

/// What came of the directories.
#[derive(Default)]
struct Seen {
    directories: u64,
    records: u64,
    /// Directories whose records are not those that are recorded, before or after the puts.
    different: u64,
    /// Reports of `verify`.
    damage: u64,
    /// Records that were put and acknowledged, and of these the ones that do not stand.
    put: u64,
    lost: u64,
    remarks: Vec<String>,
}

fn run(plan: &Plan) -> Result<Figures> {
    plan.total(u64::from(FORMAT_VERSION));
    let mut seen = Seen::default();
    for version in 1..=FORMAT_VERSION {
        let data = plan.scratch().join(format!("v{version}"));
        let log = plan.scratch().join("server.log");
        one(version, &data, &log, &mut seen)
            .with_context(|| format!("the directory of version {version}"))?;
        seen.directories += 1;
        plan.advance(1);
    }
    let mut figures = Figures::default();
    figures.at_least("directories of versions", seen.directories, u64::from(FORMAT_VERSION));
    figures.at_least("records compared", seen.records, 1);
    figures.zero("directories read otherwise", seen.different);
    figures.zero("damage", seen.damage);
    figures.told("records put", seen.put);
    figures.zero("lost", seen.lost);
    figures.remark_all(seen.remarks);
    Ok(figures)
}

fn one(version: u32, data: &Path, log: &Path, seen: &mut Seen) -> Result<()> {
    for (path, bytes) in golden::unpack(version) {
        let path = data.join(path.strip_prefix("/data")?);
        std::fs::create_dir_all(path.parent().context("a file stands in a directory")?)?;
        std::fs::write(path, bytes)?;
    }
    let look = |when: &str, seen: &mut Seen| {
        if let Some(words) = verify(data)? {
            seen.damage += 1;
            seen.remarks.push(format!("version {version}, {when}: {words}"));
        }
        anyhow::Ok(())
    };
    look("as it was", seen)?;
    let runtime = runtime()?;
    let recorded = golden::records(version);
    let mut put = Vec::new();
    // The second start finds what the first has written on.
    for start in 0..2 {
        let mut server = Server::spawn(data, Durability::Fsync, log)?;
        let address = server.ready()?;
        let found = runtime.block_on(async {
            let client = connect(address).await?;
            let found = listing(&client).await?;
            if start == 0 {
                put = puts(&client).await?;
            }
            anyhow::Ok(found)
        })?;
        server.stop()?;
        look("after a stop", seen)?;
        seen.lost +=
            put.iter().filter(|_| start == 1).filter(|put| !found.contains(*put)).count() as u64;
        let old: Vec<_> = found.iter().filter(|line| !put.contains(*line)).cloned().collect();
        seen.records += old.len() as u64;
        if old.concat() != recorded {
            seen.different += 1;
            let words = format!("version {version}, start {start}: {} records", old.len());
            seen.remarks.push(words);
        }
    }
    seen.put += put.len() as u64;
    Ok(())
}

/// A line for each record, as golden directories have them.
async fn listing(client: &Client) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for shard in 0..golden::SHARDS {
        let shard_id = format!("shardId-{shard:012}");
        let each = |record: anabranch_client::v1::Record| {
            let (number, arrival_ms) = (record.sequence_number, record.arrival_time_ms);
            lines.push(golden::line(&shard_id, number, arrival_ms, &record.data));
        };
        each_record(client, golden::STREAM, &shard_id, each).await?;
    }
    Ok(lines)
}

/// Puts records, and gives the lines that they have to have; the stamps are the server's.
async fn puts(client: &Client) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for index in 0..PUTS {
        let record = Record::new(format!("key {index}"), vec![b'n'; 10 + index as usize]);
        let placed = client.put_record(golden::STREAM, record, None).await?;
        told.push((placed.shard_id, placed.sequence_number));
    }
    let lines = listing(client).await?;
    let places: Vec<_> =
        told.into_iter().map(|(shard, number)| format!("{shard} {number} ")).collect();
    let is_told = |line: &String| places.iter().any(|place| line.starts_with(place));
    let lines: Vec<_> = lines.into_iter().filter(is_told).collect();
    if lines.len() as u64 != PUTS {
        bail!("of {PUTS} records that were put {} are read", lines.len());
    }
    Ok(lines)
}
