//! kinesis-mock, which is `kinesis-local` at npm: a stand-in for Kinesis in Scala, compiled to
//! JavaScript, which keeps records in memory unless it is told otherwise.

use std::path::Path;

use anyhow::{Context, Result};

use super::super::child::Child;
use super::npm::Npm;

/// Starts one as it comes, on ports of its own.
pub(super) fn start(npm: &Npm, dir: &Path) -> Result<Child> {
    let data = dir.join("kinesis-mock");
    std::fs::create_dir(&data)?;
    let (plain, tls) = (super::free_address()?, super::free_address()?);
    let package = npm.modules.join("kinesis-local");
    let certificate = package.join("server.json");
    let program = package.join("main.js");
    // It is set by its environment. env(1) becomes what it runs, whose costs are then read.
    let env = super::program("env").context("env(1) is missing")?;
    let arguments = [
        format!("KINESIS_MOCK_PLAIN_PORT={}", plain.port()),
        format!("KINESIS_MOCK_TLS_PORT={}", tls.port()),
        format!("KINESIS_MOCK_CERT_PATH={}", certificate.display()),
        npm.node.to_str().context("a path that is not text")?.to_owned(),
        program.to_str().context("a path that is not text")?.to_owned(),
    ];
    Child::peer(&env, arguments, plain, &data)
}
