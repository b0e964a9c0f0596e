//! Peers of npm's registry: installed once, in the versions of a lock file, which has the checksum
//! of each package.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

const PACKAGE: &str = include_str!("npm/package.json");
const LOCK: &str = include_str!("npm/package-lock.json");

/// Node.js, and packages that it runs.
#[derive(Clone, Debug)]
pub(super) struct Npm {
    pub(super) node: PathBuf,
    /// Where the packages are.
    pub(super) modules: PathBuf,
}

impl Npm {
    /// What `cache` has; else it is installed there. Scripts of packages are not run, and nothing
    /// here needs them.
    pub(super) fn find(cache: &Path) -> Result<Npm> {
        let advice = "Node.js 20 or later and npm are missing; Debian: apt install nodejs npm";
        let node = super::program("node").context(advice)?;
        let dir = std::path::absolute(cache)?.join("npm");
        let modules = dir.join("node_modules");
        // npm writes it when everything is there.
        let is_installed = modules.join(".package-lock.json").exists()
            && std::fs::read_to_string(dir.join("package-lock.json")).is_ok_and(|it| it == LOCK);
        if !is_installed {
            let npm = super::program("npm").context(advice)?;
            eprintln!("ceilings: installing kinesalite and kinesis-mock into {}", dir.display());
            std::fs::create_dir_all(&dir)?;
            std::fs::write(dir.join("package.json"), PACKAGE)?;
            std::fs::write(dir.join("package-lock.json"), LOCK)?;
            let output = Command::new(npm)
                .args(["ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&dir)
                .output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "npm cannot install: {}", said.trim_end());
        }
        Ok(Npm { node, modules })
    }
}
