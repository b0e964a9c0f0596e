//! `verify DIR`: is a data directory whole?

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use anabranch_client::cli::{Global, OutputFormat};
use anabranch_engine::Error;
use anabranch_engine::fs::{Fs, ReadMode, RealFs};
use anabranch_engine::offline::{Finding, FindingKind, Mode, VerifyReport, verify};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::{DAMAGE, FAILED, fail, print, style};

/// What is verified, and how.
#[derive(Args)]
pub(crate) struct VerifyArguments {
    /// The data directory
    #[arg(value_name = "DIR")]
    data: PathBuf,

    /// Verify beside a running server: only what is recorded as durable is judged
    #[arg(long)]
    online: bool,
}

pub(crate) fn run(arguments: &VerifyArguments, global: &Global) -> u8 {
    let fs: Arc<dyn Fs> = Arc::new(RealFs::new(ReadMode::Pread));
    let mode = if arguments.online { Mode::Online } else { Mode::Offline };
    let bar = progress_bar();
    let verified = verify(&fs, &arguments.data, mode, &mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
    });
    bar.finish_and_clear();
    let report = match verified {
        Ok(report) => report,
        Err(error @ Error::Locked { .. }) => {
            let hint = "or look at it while it runs with: anabranch verify --online DIR";
            return fail(FAILED, &format!("{error}, {hint}"));
        }
        Err(error) => return fail(FAILED, &error),
    };
    let code = if report.count(FindingKind::Damage) > 0 { DAMAGE } else { 0 };
    match print(render(&report, global.output).as_bytes()) {
        0 => code,
        failed => failed,
    }
}

/// A bar on standard error, if that is a terminal.
fn progress_bar() -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let template = "{bar:40} {percent}%  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    ProgressBar::with_draw_target(None, target).with_style(style)
}

fn render(report: &VerifyReport, output: OutputFormat) -> String {
    match output {
        OutputFormat::Table => words(report),
        OutputFormat::Json => format!("{}\n", object(report)),
        OutputFormat::Ndjson => {
            let findings = report.findings.iter().map(finding_object);
            let lines = findings.chain([summary(report)]);
            lines.flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
        }
    }
}

fn words(report: &VerifyReport) -> String {
    let style = style::stdout();
    let findings: String = report.findings.iter().map(finding_words).collect();
    let damage = report.count(FindingKind::Damage);
    let verdict = match damage {
        0 => style.good("no damage"),
        count => style.error(format!("{count} damaged")),
    };
    let hint = match damage {
        0 => "",
        _ => {
            "the rest is served as it is; to put the loss on record, stop the server and see: \
             anabranch repair DIR\n"
        }
    };
    format!(
        "{findings}{verdict}: {} records in {} frames of {} segments, {} bytes, {} shards of {} \
         streams\n{hint}",
        report.records, report.frames, report.segments, report.bytes, report.shards, report.streams
    )
}

/// A finding for a person, on two lines.
pub(super) fn finding_words(finding: &Finding) -> String {
    let style = style::stdout();
    let kind = match finding.kind {
        FindingKind::Damage => style.error("damage"),
        FindingKind::Harmless => style.warning("harmless"),
        FindingKind::Note => style.faint("note"),
    };
    let offset = finding.offset.map_or(String::new(), |offset| format!(" at offset {offset}"));
    let lost = match (finding.first_lost, finding.next_readable) {
        (Some(first), Some(next)) => {
            format!("\n    sequence numbers {first} to {} (before {next})", next.0 - 1)
        }
        _ => String::new(),
    };
    format!("{kind}  {}{offset}\n    {}{lost}\n", finding.file.display(), finding.found)
}

/// A finding for a program.
pub(super) fn finding_object(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind.to_string(),
        "stream_id": finding.stream.map(|stream| stream.0),
        "shard_id": finding.shard.map(|shard| shard.to_string()),
        "file": finding.file.display().to_string(),
        "offset": finding.offset,
        "first_lost": finding.first_lost.map(|number| number.0),
        "next_readable": finding.next_readable.map(|number| number.0),
        "found": finding.found,
    })
}

fn summary(report: &VerifyReport) -> Value {
    json!({
        "damage": report.count(FindingKind::Damage),
        "harmless": report.count(FindingKind::Harmless),
        "notes": report.count(FindingKind::Note),
        "streams": report.streams,
        "shards": report.shards,
        "segments": report.segments,
        "bytes": report.bytes,
        "frames": report.frames,
        "records": report.records,
    })
}

fn object(report: &VerifyReport) -> Value {
    let mut object = summary(report);
    object["findings"] = report.findings.iter().map(finding_object).collect();
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> VerifyReport {
        let finding = Finding {
            kind: FindingKind::Damage,
            stream: None,
            shard: None,
            file: PathBuf::from("/data/x.seg"),
            offset: Some(8192),
            first_lost: Some(anabranch_engine::sequence::SequenceNumber(4)),
            next_readable: Some(anabranch_engine::sequence::SequenceNumber(7)),
            found: "zeros where a frame should be".to_owned(),
        };
        VerifyReport { findings: vec![finding], ..VerifyReport::default() }
    }

    #[test]
    fn people_read_what_is_lost_and_what_to_do() {
        let text = render(&report(), OutputFormat::Table);
        assert!(text.contains("/data/x.seg at offset 8192"), "{text}");
        assert!(text.contains("sequence numbers 4 to 6"), "{text}");
        assert!(text.contains("anabranch repair"), "{text}");
    }

    #[test]
    fn programs_get_one_document_or_one_object_a_line() {
        let document: Value = serde_json::from_str(&render(&report(), OutputFormat::Json)).unwrap();
        assert_eq!(document["damage"], 1);
        assert_eq!(document["findings"][0]["first_lost"], 4);
        assert_eq!(render(&report(), OutputFormat::Ndjson).lines().count(), 2);
    }
}
