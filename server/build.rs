//! Finds the commit for `anabranch --version`, and builds without git or a repository as well.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=ANABRANCH_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let given = std::env::var("ANABRANCH_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = match given {
        Some(commit) => commit,
        None if is_release => find(),
        // Following the commit compiles this package anew after each one. While developing that
        // costs more than it tells, and a commit that is not followed would be a wrong one.
        None => "unknown: development build".to_owned(),
    };
    println!("cargo::rustc-env=ANABRANCH_COMMIT={commit}");
}

/// The commit of the working copy, and an order to cargo to follow it.
fn find() -> String {
    // A commit changes the log of HEAD; HEAD itself only names the branch. A path that does not
    // exist would make every build run this script.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
