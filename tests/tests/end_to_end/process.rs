//! The program as people and supervisors have it: a process with arguments, signals and an
//! exit code.
//!
//! Nothing waits for a time to pass. A server is there when it has printed its ready line; a
//! command is over when it has ended; the limits below are for a machine that hangs.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anabranch_server::ready_line::ReadyLine;
use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes that does not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program, without the settings of whoever runs the tests.
pub(crate) fn program() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_anabranch-under-test")))
}

/// The program under `ulimit`, which a shell sets for it.
pub(crate) fn program_under(ulimit: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit {ulimit} && exec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_anabranch-under-test"));
    clean(command)
}

fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ANABRANCH_") {
            command.env_remove(name);
        }
    }
    command
}

/// Sends a signal to a process that has not been waited for.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).expect("the process is there until it is waited for");
}

/// A server in a process of its own.
pub(crate) struct Server {
    child: Child,
    ready: ReadyLine,
    log: PathBuf,
}

impl Server {
    /// Starts a server on free ports.
    pub(crate) fn start(data: &Path) -> Server {
        Server::start_with(program(), data, &[])
    }

    /// Starts `command` as a server with some more arguments. The log goes beside the data.
    pub(crate) fn start_with(command: Command, data: &Path, arguments: &[&str]) -> Server {
        match Server::try_start(command, data, arguments) {
            Ok(server) => server,
            Err(refused) => panic!("the server did not start: {refused:?}"),
        }
    }

    /// The same on the port of a server that was there before.
    pub(crate) fn start_at(data: &Path, address: SocketAddr) -> Server {
        Server::start_with(program(), data, &["--listen", &address.to_string()])
    }

    /// Starts a server, or says how it ended.
    pub(crate) fn try_start(
        mut command: Command,
        data: &Path,
        arguments: &[&str],
    ) -> Result<Server, Finished> {
        let log = data.with_extension("log");
        let mut child = serve(&mut command, data, arguments)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, first_line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = first_line.recv_timeout(PATIENCE).expect("a start does not hang");
        if line.is_empty() {
            let status = child.wait().unwrap();
            let error = std::fs::read_to_string(&log).unwrap();
            return Err(Finished { status, output: Vec::new(), error });
        }
        let ready = line.parse().unwrap_or_else(|error| panic!("{line:?}: {error}"));
        Ok(Server { child, ready, log })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.ready.listen
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.ready.listen)
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.ready.admin
    }

    /// What it wrote to its standard error so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// A command of the program that speaks to this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(["--server", &self.url()]).args(arguments);
        command
    }

    /// Runs a command to its end, with an empty standard input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        run(self.command(arguments), b"")
    }

    /// Kibibytes of memory that are the process's own: files that it maps are not in it.
    pub(crate) fn anonymous_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, name: Signal) {
        signal(&self.child, name);
    }

    /// SIGKILL, and the wait for its effect.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, which it obeys with exit code 0; the time it took.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Duration {
        let since = Instant::now();
        // The wait would close it, and its end stops the server as well: one cause is enough.
        let _input = self.child.stdin.take();
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        let took = since.elapsed();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        took
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail on one that was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes `command` a server on free ports that ends with us, however we end.
pub(crate) fn serve<'a>(
    command: &'a mut Command,
    data: &Path,
    arguments: &[&str],
) -> &'a mut Command {
    command.arg("serve").arg("--data").arg(data).arg("--until-stdin-ends");
    for (flag, free) in [("--listen", "127.0.0.1:0"), ("--admin-listen", "127.0.0.1:0")] {
        if !arguments.contains(&flag) {
            command.args([flag, free]);
        }
    }
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped())
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) output: Vec<u8>,
    pub(crate) error: String,
}

impl Finished {
    /// The exit code. Only a signal leaves none.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// Itself, if it ended with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Finished {
        assert_eq!(self.code(), code, "{}{}", self.text(), self.error);
        self
    }

    /// Standard output, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// Standard output, as a JSON document.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error, if it has all of these words.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Finished {
        for word in words {
            assert!(self.error.contains(word), "{word:?} is not in {:?}", self.error);
        }
        self
    }
}

/// A command under way.
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: mpsc::Receiver<Vec<u8>>,
    error: mpsc::Receiver<Vec<u8>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Running {
            input: child.stdin.take(),
            output: drain(child.stdout.take().unwrap()),
            error: drain(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Writes to its standard input. It may have ended already.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("the input is open");
        let _ = input.write_all(bytes).and_then(|()| input.flush());
    }

    pub(crate) fn signal(&self, name: Signal) {
        signal(&self.child, name);
    }

    /// Closes its input and waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        drop(self.input.take());
        self.wait()
    }

    /// Waits for its end, which does not come from its input.
    pub(crate) fn wait(mut self) -> Finished {
        let collected = (self.output.recv_timeout(PATIENCE), self.error.recv_timeout(PATIENCE));
        let (Ok(output), Ok(error)) = collected else {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            panic!("a command hangs");
        };
        let status = self.child.wait().unwrap();
        Finished { status, output, error: String::from_utf8_lossy(&error).into_owned() }
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, all) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    all
}

/// Runs a command to its end.
pub(crate) fn run(command: Command, input: &[u8]) -> Finished {
    let mut running = Running::start(command);
    running.write(input);
    running.finish()
}

/// Runs a command that speaks to no server.
pub(crate) fn run_alone<S: AsRef<OsStr>>(arguments: &[S]) -> Finished {
    let mut command = program();
    command.args(arguments);
    run(command, b"")
}
