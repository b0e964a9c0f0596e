//! The program as a process, which is there to be killed, and the way to connect to it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anabranch_client::Client;
use anabranch_client::retry::RetryPolicy;
use anabranch_server::ready_line::ReadyLine;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};

use super::program;

/// Longer than anything takes that does not hang.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// The server's `--durability`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Durability {
    Fsync,
    Os,
}

impl Durability {
    pub(super) fn word(self) -> &'static str {
        match self {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
        }
    }
}

/// A server, which may not be ready yet. Dropped, it is killed.
pub(super) struct Server {
    child: Child,
    first_line: mpsc::Receiver<String>,
    log: PathBuf,
}

impl Server {
    /// Starts a server on free ports, and does not wait for it. It ends with us, however we
    /// end.
    pub(super) fn spawn(data: &Path, durability: Durability, log: &Path) -> Result<Server> {
        Server::spawn_by(program(), data, durability, log)
    }

    /// The same where `command` leads to the program: a shell, say, that does something before.
    pub(super) fn spawn_by(
        mut command: Command,
        data: &Path,
        durability: Durability,
        log: &Path,
    ) -> Result<Server> {
        command
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--durability", durability.word(), "--until-stdin-ends"])
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?);
        let mut child = command.spawn().context("cannot start the server")?;
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, first_line) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        Ok(Server { child, first_line, log: log.to_owned() })
    }

    /// Waits until it is ready, and gives its address; the error has the end of its log.
    pub(super) fn ready(&mut self) -> Result<SocketAddr> {
        Ok(self.ready_line()?.listen)
    }

    /// Waits until it is ready, and gives all of its addresses.
    pub(super) fn ready_line(&mut self) -> Result<ReadyLine> {
        let line = self.first_line.recv_timeout(PATIENCE).context("a start hangs")?;
        match line.parse() {
            Ok(ready) => Ok(ready),
            Err(_) => bail!("the server did not start: {}", last_words(&self.log)),
        }
    }

    /// The process.
    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid(), signal)?)
    }

    /// Waits until it is gone, and says how it ended.
    pub(super) fn ended(mut self) -> Result<ExitStatus> {
        // The wait would close it, and its end stops the server as well: one cause is enough.
        let _input = self.child.stdin.take();
        Ok(self.child.wait()?)
    }

    /// SIGKILL. From now on it answers nobody.
    pub(super) fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill()?)
    }

    /// Waits until it is gone with all that it held.
    pub(super) fn wait(mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, which it obeys with exit code 0.
    pub(super) fn stop(self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let log = self.log.clone();
        match self.ended()? {
            status if status.success() => Ok(()),
            status => bail!("a stop ended with {status}: {}", last_words(&log)),
        }
    }
}

/// The end of a log.
fn last_words(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail on one that was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that tries nothing again.
pub(super) async fn connect(address: SocketAddr) -> Result<Client> {
    let client = Client::builder(&format!("http://{address}")).retry(RetryPolicy::none()).build();
    client.await.context("cannot connect to the server")
}

/// `anabranch verify`: the damage that it finds, if any.
pub(super) fn verify(data: &Path) -> Result<Option<String>> {
    let mut command: Command = program();
    command.args(["--output", "ndjson", "verify"]).arg(data);
    let output = command.output().context("cannot run verify")?;
    match output.status.code() {
        Some(0) => Ok(None),
        Some(3) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let damage = text.lines().filter(|line| line.contains("\"kind\":\"damage\""));
            Ok(Some(damage.take(3).collect::<Vec<_>>().join(" ")))
        }
        _ => Ok(Some(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}
