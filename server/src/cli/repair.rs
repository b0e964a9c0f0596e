//! `repair DIR`: puts what is lost on record, or makes a new catalog. Plans only, until it is
//! told to apply.

use std::path::PathBuf;

use anabranch_client::cli::{Global, OutputFormat};
use anabranch_engine::Environment;
use anabranch_engine::fs::ReadMode;
use anabranch_engine::offline::{RebuildReport, RepairReport, RepairStep, rebuild_catalog, repair};
use clap::Args;
use serde_json::{Value, json};

use super::verify::{finding_object, finding_words};
use super::{DAMAGE, FAILED, fail, print, style};

/// What is repaired, and how.
#[derive(Args)]
pub(crate) struct RepairArguments {
    /// The data directory; no server may be running on it
    #[arg(value_name = "DIR")]
    data: PathBuf,

    /// Print what would be done and change nothing (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,

    /// Do it
    #[arg(long)]
    apply: bool,

    /// Make a new catalog from what the segments say; the old one is kept beside it
    #[arg(long)]
    rebuild_catalog: bool,
}

pub(crate) fn run(arguments: &RepairArguments, global: &Global) -> u8 {
    let environment = Environment::system(ReadMode::Pread);
    let (data, apply) = (&arguments.data, arguments.apply && !arguments.dry_run);
    let (text, code) = if arguments.rebuild_catalog {
        match rebuild_catalog(&environment, data, apply) {
            Ok(report) => (render_rebuild(&report, global.output), 0),
            Err(error) => return fail(FAILED, &error),
        }
    } else {
        match repair(&environment, data, apply) {
            Ok(report) => (render(&report, global.output), code(&report)),
            Err(error) => return fail(FAILED, &error),
        }
    };
    match print(text.as_bytes()) {
        0 => code,
        failed => failed,
    }
}

/// Damage that is still there is damage found; what was mended is none any more.
fn code(report: &RepairReport) -> u8 {
    let is_planned = !report.is_applied && report.steps.iter().any(|s| s.first_lost.is_some());
    let stays = report.catalog_lost.is_some() || !report.refused.is_empty() || is_planned;
    if stays { DAMAGE } else { 0 }
}

fn render(report: &RepairReport, output: OutputFormat) -> String {
    match output {
        OutputFormat::Table => words(report),
        OutputFormat::Json | OutputFormat::Ndjson => format!("{}\n", object(report)),
    }
}

fn words(report: &RepairReport) -> String {
    let style = style::stdout();
    if let Some(found) = &report.catalog_lost {
        return format!(
            "{}: {found}\nnothing was changed; first: anabranch repair --rebuild-catalog DIR\n",
            style.error("the catalog cannot be read")
        );
    }
    let mut out: Vec<String> = report.steps.iter().map(step_words).collect();
    for finding in &report.refused {
        out.push(style.error("cannot be repaired:"));
        out.push(format!("\n{}", finding_words(finding)));
    }
    let end = match (report.steps.is_empty(), report.is_applied) {
        (true, _) => "there is nothing to do; nothing was changed\n",
        (false, true) => "done; to look again: anabranch verify DIR\n",
        (false, false) => "nothing was changed; add --apply\n",
    };
    out.push(end.to_owned());
    out.concat()
}

fn step_words(step: &RepairStep) -> String {
    let offset = step.offset.map_or(String::new(), |offset| format!(" at offset {offset}"));
    let gone = match (step.first_lost, step.next_readable) {
        (Some(first), Some(next)) => format!(
            "\n    gone: sequence numbers {first} to {} of {} of stream {}",
            next.0 - 1,
            step.shard,
            step.stream
        ),
        _ => String::new(),
    };
    let work = style::stdout().strong(step.work.describe());
    format!("{}{offset}\n    {work}{gone}\n", step.file.display())
}

fn object(report: &RepairReport) -> Value {
    let step = |step: &RepairStep| {
        json!({
            "work": step.work.describe(),
            "stream_id": step.stream.0,
            "shard_id": step.shard.to_string(),
            "file": step.file.display().to_string(),
            "offset": step.offset,
            "first_lost": step.first_lost.map(|number| number.0),
            "next_readable": step.next_readable.map(|number| number.0),
        })
    };
    json!({
        "applied": report.is_applied,
        "catalog_lost": report.catalog_lost,
        "steps": report.steps.iter().map(step).collect::<Vec<_>>(),
        "refused": report.refused.iter().map(finding_object).collect::<Vec<_>>(),
    })
}

fn render_rebuild(report: &RebuildReport, output: OutputFormat) -> String {
    match output {
        OutputFormat::Table => rebuild_words(report),
        OutputFormat::Json | OutputFormat::Ndjson => format!("{}\n", rebuild_object(report)),
    }
}

fn rebuild_words(report: &RebuildReport) -> String {
    let style = style::stdout();
    let mut out = vec![format!("{} {}\n", style.faint("the catalog:"), report.found)];
    for stream in &report.streams {
        out.push(format!(
            "stream {} (id {}): {} shards, {} of them empty, kept for {} h\n",
            style.strong(&stream.name),
            stream.id,
            stream.shards,
            stream.empty_shards,
            stream.retention_hours
        ));
    }
    for dir in &report.moved {
        out.push(format!("{}: an older stream of the same name, to lost+found\n", dir.display()));
    }
    for note in &report.notes {
        out.push(format!("{} {note}\n", style.warning("note:")));
    }
    let end = match report.is_applied {
        true => "done; to look at the records: anabranch verify DIR\n",
        false => "nothing was changed; add --apply\n",
    };
    out.push(end.to_owned());
    out.concat()
}

fn rebuild_object(report: &RebuildReport) -> Value {
    let streams = report.streams.iter().map(|stream| {
        json!({
            "stream_name": stream.name.as_str(),
            "stream_id": stream.id.0,
            "shards": stream.shards,
            "empty_shards": stream.empty_shards,
            "retention_period_hours": stream.retention_hours,
        })
    });
    json!({
        "applied": report.is_applied,
        "found": report.found,
        "streams": streams.collect::<Vec<_>>(),
        "moved": report.moved.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>(),
        "notes": report.notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_that_nothing_was_changed_and_how_to_go_on() {
        let lost = RepairReport {
            catalog_lost: Some("the file is missing".to_owned()),
            ..RepairReport::default()
        };
        assert_eq!(code(&lost), DAMAGE);
        assert!(render(&lost, OutputFormat::Table).contains("--rebuild-catalog"));
        let rebuild = render_rebuild(&RebuildReport::default(), OutputFormat::Table);
        assert!(rebuild.ends_with("nothing was changed; add --apply\n"));
        let clean = RepairReport::default();
        assert_eq!(code(&clean), 0);
        assert!(render(&clean, OutputFormat::Table).contains("nothing to do"));
    }
}
