//! The demo's server: this same binary as a process of its own, so that it can be killed.
//!
//! It never outlives the demo. Its standard input is a pipe that we hold, and it stops when that
//! ends, however we end; dropping a [`Server`] kills it as well.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::ready_line::ReadyLine;

/// A start takes milliseconds, also after a kill; a machine under load gets its time.
const START_MAX: Duration = Duration::from_secs(20);

/// A server promises to stop within 5 seconds.
const STOP_MAX: Duration = Duration::from_secs(8);

pub(super) struct Server {
    child: Child,
    addresses: ReadyLine,
    started_in: Duration,
}

impl Server {
    /// Starts a server on `directory/data` and waits until it answers. What it has to say goes
    /// to `directory/server.log`.
    pub(super) async fn start(directory: &Path) -> Result<Self> {
        let log = directory.join("server.log");
        let begin = Instant::now();
        let mut command = Command::new(std::env::current_exe().context("cannot find myself")?);
        command
            .arg("serve")
            .arg("--data")
            .arg(directory.join("data"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .arg("--until-stdin-ends")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).context("cannot make the server's log file")?)
            .kill_on_drop(true);
        // The demo shows the defaults, whatever is set for the user's own server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ANABRANCH_") {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn().context("cannot start the server")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut output = BufReader::new(stdout).lines();
        let line = match timeout(START_MAX, output.next_line()).await {
            Ok(line) => line.context("cannot read the server's output")?,
            Err(_) => bail!("the server did not start within {START_MAX:?}"),
        };
        let Some(line) = line else {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("the server did not start:\n{}", said.trim_end());
        };
        Ok(Self { child, addresses: line.parse()?, started_in: begin.elapsed() })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addresses.listen)
    }

    /// From the start of the process to its first answer, recovery included.
    pub(super) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// SIGKILL: it has no chance to write anything more.
    pub(super) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill the server")
    }

    /// Asks it to stop, and waits.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        match timeout(STOP_MAX, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => bail!("the server ended with {status}"),
            Ok(Err(error)) => Err(error).context("cannot wait for the server"),
            Err(_) => bail!("the server did not stop within {STOP_MAX:?}"),
        }
    }
}
