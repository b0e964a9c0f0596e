//! The files of a broker: fetched once from Maven's central repository, and checked.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// Where they are.
const REPOSITORY: &str = "https://repo1.maven.org/maven2";

/// A line each: SHA-256 and path. They are those of `org.apache.kafka:kafka_2.13:4.1.2` and of a
/// logger that writes nothing, as Maven resolves them.
const JARS: &str = include_str!("jars.txt");

/// The class path of a broker whose files are in `cache`: what is missing is fetched.
pub(super) fn fetched(cache: &Path) -> Result<OsString> {
    let cache = std::path::absolute(cache)?;
    let mut paths = Vec::new();
    for line in JARS.lines().filter(|line| !line.starts_with('#')) {
        let (sum, path) = line.split_once(' ').context("a line without a path")?;
        let file = cache.join(path.rsplit('/').next().unwrap_or(path));
        if !std::fs::read(&file).is_ok_and(|bytes| sum_of(&bytes) == sum) {
            if paths.is_empty() {
                eprintln!("ceilings: fetching Kafka from {REPOSITORY} into {}", cache.display());
            }
            fetch(path, sum, &file)?;
        }
        paths.push(file);
    }
    std::env::join_paths(paths).context("the cache's path has a colon in it")
}

fn fetch(path: &str, sum: &str, file: &Path) -> Result<()> {
    let url = format!("{REPOSITORY}/{path}");
    let partial = file.with_extension("part");
    std::fs::create_dir_all(file.parent().context("a file without a directory")?)?;
    let curl =
        super::super::program("curl").context("curl is missing; Debian: apt install curl")?;
    let mut curl = Command::new(curl);
    curl.args(["--fail", "--silent", "--show-error", "--retry", "3", "--output"]).arg(&partial);
    let output = curl.arg(&url).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot fetch {url}: {}", said.trim_end());
    let found = sum_of(&std::fs::read(&partial)?);
    ensure!(found == sum, "{url} is not what it was: SHA-256 {found} instead of {sum}");
    Ok(std::fs::rename(partial, file)?)
}

fn sum_of(bytes: &[u8]) -> String {
    let hex = |half: u8| char::from_digit(u32::from(half), 16).expect("it is below 16");
    Sha256::digest(bytes).iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_sum_and_a_name_of_its_own() {
        let mut names = std::collections::HashSet::new();
        for line in JARS.lines().filter(|line| !line.starts_with('#')) {
            let (sum, path) = line.split_once(' ').unwrap();
            assert!(sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
            assert!(names.insert(path.rsplit('/').next().unwrap()), "{line}");
        }
        assert_eq!(sum_of(b"abc")[..8], *"ba7816bf");
    }
}
