//! The measuring program, run for a moment: that every group runs to its end and tells its figures,
//! whatever they are. Which bars hold is for a quiet machine to say.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// All groups that need neither minutes nor other servers.
const GROUPS: &str = "produce,singles,calls,latency,reads,shards,engine,space";

/// A figure with a bar of each of them.
const FIGURES: [&str; 8] = [
    "produce, 100 a message : stock no-op client stream",
    "produce, 1 a message : stock no-op unary",
    "PutRecords, 100 a call, 32 in flight : stock no-op",
    "one put, p99 : write+fdatasync of 4 KiB",
    "GetRecords",
    "produce into 256 shards : 1 shard",
    "engine, batches of 100, 8 appenders",
    "disk",
];

fn ceilings(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_ceilings");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}

#[test]
fn every_group_tells_its_figures_and_leaves_nothing_behind() {
    // On the disk of the build: a directory in memory syncs nothing.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let [data, json, svg] =
        ["data", "figures.json", "figures.svg"].map(|it| scratch.path().join(it));
    let output = ceilings(&[
        "--rounds=1",
        "--seconds=0.3",
        &format!("--only={GROUPS}"),
        &format!("--dir={}", text(&data)),
        &format!("--json={}", text(&json)),
        &format!("--svg={}", text(&svg)),
    ]);
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    // 1: a bar was missed.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}: {errors}", output.status);

    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let mut is_all_reached = true;
    for row in &rows {
        let number = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name} of {row}"));
        let (min, value, max) = (number("min"), number("value"), number("max"));
        assert!(min <= value && value <= max, "{row}");
        assert!(matches!(row["better"].as_str(), Some("higher" | "lower")), "{row}");
        assert_eq!(row["bar"].is_null(), row["holds"].is_null(), "{row}");
        is_all_reached &= row["holds"] != false;
        assert!(told.contains(row["figure"].as_str().unwrap()), "{row} is not in:\n{told}");
    }
    assert_eq!(output.status.code() == Some(0), is_all_reached);
    for figure in FIGURES {
        let is_told = |row: &Value| row["figure"].as_str().unwrap().starts_with(figure);
        assert!(
            rows.iter().any(|row| is_told(row) && !row["bar"].is_null()),
            "no {figure} in:\n{told}"
        );
    }
    assert!(std::fs::read_to_string(&svg).unwrap().contains("</svg>"));
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "something is left");
}

#[test]
fn what_cannot_be_measured_is_told_with_a_code_of_its_own() {
    let output = ceilings(&["--only=nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("--list"), "{errors}");
}
