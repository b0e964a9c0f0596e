//! kinesalite: a stand-in for Kinesis of one thread of JavaScript, which keeps records in memory
//! unless it is told otherwise.

use std::path::Path;

use anyhow::{Context, Result};

use super::super::child::Child;
use super::npm::Npm;

/// Starts one as it comes.
pub(super) fn start(npm: &Npm, dir: &Path) -> Result<Child> {
    let data = dir.join("kinesalite");
    std::fs::create_dir(&data)?;
    let address = super::free_address()?;
    let program = npm.modules.join("kinesalite/cli.js");
    let program = program.to_str().context("a path that is not text")?;
    Child::peer(&npm.node, [program, "--port", &address.port().to_string()], address, &data)
}
