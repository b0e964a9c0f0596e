//! A server as a process of its own: ours, one that does nothing, or a peer. What it costs is read from
//! `/proc`, so that the load beside it does not count.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anabranch_server::ready_line::ReadyLine;
use anyhow::{Context, Result, bail};

use super::guard::{guarded, this};
use super::null::Shape;
use super::space::Space;

/// The name under which the program is the server.
pub const PROGRAM: &str = "anabranch";

/// How long a peer has until it takes connections.
const START_TIME: Duration = Duration::from_secs(60);

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Child {
    process: Process,
    address: SocketAddr,
    /// Where its data is, if it has any.
    data: Option<PathBuf>,
    /// What it says behind its first line.
    words: Option<BufReader<ChildStdout>>,
}

impl Child {
    /// Ours, as it is shipped, with its data in `data`.
    pub(super) fn ours(data: &Path, durability: &str) -> Result<Child> {
        let mut command = this()?;
        command.arg0(PROGRAM).arg("serve").arg("--data").arg(data).args([
            "--durability",
            durability,
            "--until-stdin-ends",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ]);
        let mut child = Child::start(command, |line| Ok(line.parse::<ReadyLine>()?.listen))?;
        child.data = Some(data.to_owned());
        Ok(child)
    }

    /// One that does nothing, and does it in the given shape.
    pub(super) fn null(shape: Shape) -> Result<Child> {
        let mut command = this()?;
        command.args(["null-server", shape.word()]);
        Child::start(command, |line| Ok(line.trim().parse()?))
    }

    /// Somebody else's, which has been told to listen on `address` and to keep its data in
    /// `data`. It is there when it takes connections.
    pub(super) fn peer(
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        address: SocketAddr,
        data: &Path,
    ) -> Result<Child> {
        let name = program.display();
        let log = data.with_extension("log");
        let output =
            File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut command = guarded(program)?;
        command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let process = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let mut child = Child { process, address, data: Some(data.to_owned()), words: None };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if child.process.try_wait()?.is_some() || begun.elapsed() > START_TIME {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(8).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                bail!("{name} did not start; its last words:\n{}", last.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(child)
    }

    fn start(
        mut command: Command,
        address: impl FnOnce(&str) -> Result<SocketAddr>,
    ) -> Result<Child> {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ANABRANCH_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().context("cannot start a server")?;
        let mut words = BufReader::new(process.stdout.take().expect("it is piped"));
        match first_line(&mut words).and_then(|line| address(&line).context(line)) {
            Ok(address) => Ok(Child { process, address, data: None, words: Some(words) }),
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(error.context("a server did not start"))
            }
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Seconds of CPU time that it has used.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(&self.process.id().to_string())
    }

    /// Bytes of memory that are its own: not pages of files.
    pub(super) fn anonymous_bytes(&self) -> Result<u64> {
        self.memory("RssAnon:")
    }

    /// Bytes of memory that are in its address space, pages of files included.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// What its data takes on the disk, if it has any.
    pub(super) fn space(&self) -> Result<Option<Space>> {
        let space = self.data.as_deref().map(Space::of).transpose();
        space.context("cannot read what a server has on the disk")
    }

    fn memory(&self, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(&path).context("cannot read what a server costs")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.map(|kib| kib * 1024).with_context(|| format!("{path} has no {field}"))
    }

    /// Stops it in order: what is acknowledged later is written, and its files are whole.
    pub(super) fn stop(self) -> Result<()> {
        self.last_words().map(drop)
    }

    /// The same, and what it says while it stops.
    pub(super) fn last_words(mut self) -> Result<String> {
        drop(self.process.stdin.take());
        let mut last = String::new();
        if let Some(words) = &mut self.words {
            words.read_to_string(&mut last)?;
        }
        let status = self.process.wait()?;
        if !status.success() {
            bail!("a server ended with {status}");
        }
        Ok(last)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail on one that was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn first_line(words: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    words.read_line(&mut line)?;
    Ok(line)
}

/// Seconds of CPU time of a process, `self` for this one.
pub(super) fn cpu_seconds(process: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program stands in brackets and may hold anything.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' ').collect::<Vec<_>>());
    let ticks = fields.and_then(|fields| {
        let user: u64 = fields.get(11)?.parse().ok()?;
        let system: u64 = fields.get(12)?.parse().ok()?;
        Some(user + system)
    });
    let ticks = ticks.context("a process without times")?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_time_is_read() {
        let before = cpu_seconds("self").unwrap();
        let mut sum = 0u64;
        while cpu_seconds("self").unwrap() <= before {
            sum = std::hint::black_box((0..1_000_000u64).fold(sum, u64::wrapping_add));
        }
    }
}
