//! A large file of lines goes in and comes out, by pull and by push: complete, byte for byte,
//! and in order per shard.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;

use super::process::{Server, program, run};
use anabranch_tests::support::Random;

/// Megabytes of the file: 30, or 100 where `ANABRANCH_BIG` is set.
fn megabytes() -> usize {
    if std::env::var_os("ANABRANCH_BIG").is_some() { 100 } else { 30 }
}

/// Writes lines of text: the sources of this workspace, as often as it takes, each line with a
/// number in front, so that every one is different. Some are empty but for it, some are long.
fn write_lines(path: &Path, bytes: usize) -> usize {
    let sources = [
        include_str!("../../../engine/FORMAT.md"),
        include_str!("../../../proto/proto/anabranch/v1/anabranch.proto"),
        include_str!("round_trip.rs"),
    ];
    let mut random = Random(100);
    let mut file = BufWriter::new(File::create(path).unwrap());
    let (mut written, mut count) = (0, 0);
    let mut texts = sources.iter().flat_map(|text| text.lines()).cycle();
    while written < bytes {
        let mut line = format!("{count} {}", texts.next().unwrap());
        if random.below(2_000) == 0 {
            line = line.repeat(1 + random.below(500) as usize);
        }
        if random.below(50) == 0 {
            line.push('\r');
        }
        line.push('\n');
        file.write_all(line.as_bytes()).unwrap();
        written += line.len();
        count += 1;
    }
    file.flush().unwrap();
    count
}

/// Reads a stream to its tip into a file.
fn tail(server: &Server, to: &Path, more: &[&str]) {
    let format = "%S %s %k %v\\n";
    let tail = ["tail", "lines", "--from", "trim-horizon", "--until-tip", "-f", format];
    let status = server
        .command(&[&tail[..], more].concat())
        .stdin(Stdio::null())
        .stdout(File::create(to).unwrap())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0), "{more:?}");
}

/// Checks what came out against what went in.
fn check(lines: &[&[u8]], output: &[u8]) {
    let mut seen = vec![false; lines.len()];
    let mut last = [(0u64, 0usize); 4];
    let mut count = 0;
    for row in output.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n') {
        let mut parts = row.splitn(4, |byte| *byte == b' ');
        let mut text = || std::str::from_utf8(parts.next().unwrap()).unwrap();
        let shard: usize = text().strip_prefix("shardId-").unwrap().parse().unwrap();
        let number: u64 = text().parse().unwrap();
        // Without a key of its own, a line's key is its number in the file, from 1.
        let line: usize = text().parse().unwrap();
        let data = parts.next().unwrap();
        assert!(data == lines[line - 1], "line {line}");
        assert!(!std::mem::replace(&mut seen[line - 1], true), "line {line} twice");
        let (last_number, last_line) = std::mem::replace(&mut last[shard], (number, line));
        assert_eq!(number, last_number + 1, "shard {shard}");
        assert!(line > last_line, "shard {shard}: line {line} behind {last_line}");
        count += 1;
    }
    assert_eq!(count, lines.len());
    assert!(last.iter().all(|(number, _)| *number > 0), "every shard has its part");
}

#[test]
fn a_large_file_goes_through_put_and_comes_back_through_tail_by_pull_and_by_push() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let count = write_lines(&at("lines.txt"), megabytes() << 20);
    let server = Server::start_with(program(), &at("data"), &["--stream", "lines:4"]);
    let file = at("lines.txt");
    let put = server.command(&["--output", "json", "put", "lines", file.to_str().unwrap()]);
    let put = run(put, b"").expect(0).json();
    assert_eq!(put["records"], count);
    assert_eq!(put["records_put_again"], 0);
    let input = std::fs::read(&file).unwrap();
    let lines: Vec<&[u8]> =
        input.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), count);
    for (name, more) in [("pull", &[][..]), ("push", &["--push", "app"])] {
        tail(&server, &at(name), more);
        check(&lines, &std::fs::read(at(name)).unwrap());
    }
    server.stop();
}
