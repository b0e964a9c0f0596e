//! Finds the commit for `anabranch --version`, and builds without git or a repository as well.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=ANABRANCH_COMMIT");
    let commit = std::env::var("ANABRANCH_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty())
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=ANABRANCH_COMMIT={commit}");
    println!("cargo::rerun-if-changed=build.rs");
    // A commit changes the file of the branch and leaves HEAD, which names the branch, alone. A
    // path that does not exist would make every build run this script.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| text.trim().to_owned())
}
