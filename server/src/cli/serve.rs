//! `serve`: a server as a process: settings, log lines, signals, and the text at its start.
//!
//! Standard output gets one line, when requests are answered, for programs that start us:
//!
//! ```text
//! anabranch ready listen=127.0.0.1:4567 admin=127.0.0.1:4570
//! ```
//!
//! Everything for people goes to standard error.

use std::io::{Read, Write};
use std::net::SocketAddr;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::config::SettingsArguments;
use super::style::{self, Style};
use super::{FAILED, USAGE, VERSION, fail, logging};
use crate::config::{Config, Durability};
use crate::fingerprint::Fingerprint;
use crate::ready_line::ReadyLine;
use crate::serve::{RunningServer, StartError, start};

/// File descriptors below which a busy server may run out: a connection takes one, and each
/// shard in use one or two.
const FILES_MIN: u64 = 1024;

#[derive(Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    settings: SettingsArguments,

    /// Stop when standard input ends: a parent that dies takes the server with it
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

pub(crate) async fn run(arguments: ServeArguments) -> u8 {
    let config = match arguments.settings.resolve() {
        Ok((config, _)) => config,
        Err(error) => return fail(USAGE, &error),
    };
    logging::start(config.log_level, config.log_format);
    raise_file_limit();
    // Before the start, so that a signal during recovery is not lost.
    let (mut signals, mut hang_up) = match (Signals::new(), hang_up(&config)) {
        (Ok(signals), Ok(hang_up)) => (signals, hang_up),
        (Err(error), _) | (_, Err(error)) => return fail(FAILED, &error),
    };
    let server = tokio::select! {
        started = start(&config) => match started {
            Ok(server) => server,
            Err(error @ StartError::NotLoopback { .. }) => return fail(USAGE, &error),
            Err(error) => return fail(FAILED, &error),
        },
        // Recovery is safe to break off: it changes nothing that it would not change again.
        name = signals.next() => return fail(FAILED, &format!("stopped by {name} at start")),
    };
    announce(&config, &server);
    let parent = CancellationToken::new();
    if arguments.until_stdin_ends {
        watch_stdin(parent.clone());
    }
    let cause = loop {
        tokio::select! {
            name = signals.next() => break name,
            () = parent.cancelled() => break "the end of standard input",
            () = hung_up(&mut hang_up) => server.reload().await,
        }
    };
    info!("{cause}: draining; a second signal stops at once");
    tokio::select! {
        stopped = server.shut_down() => match stopped {
            Ok(()) => {
                info!("stopped");
                0
            }
            Err(error) => fail(FAILED, &error),
        },
        name = signals.next() => {
            warn!("second signal ({name}): stopping at once; the next start checks the tails");
            FAILED
        }
    }
}

/// SIGHUP, which asks to read again what may have been replaced. Where nothing may, it ends the
/// process as it always does: nobody wants servers that outlive their terminals.
fn hang_up(config: &Config) -> std::io::Result<Option<Signal>> {
    let is_heard = config.tls.is_some() || config.credentials.is_some();
    is_heard.then(|| signal(SignalKind::hangup())).transpose()
}

async fn hung_up(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// The signals that ask a process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Cancels the token when nobody holds the other end of our standard input any more. A thread
/// of its own, because a read of standard input cannot be broken off.
fn watch_stdin(ended: CancellationToken) {
    let watch = move || {
        let mut ignored = [0; 64];
        while matches!(std::io::stdin().read(&mut ignored), Ok(read) if read > 0) {}
        ended.cancel();
    };
    let spawned = std::thread::Builder::new().name("anabranch-stdin".to_owned()).spawn(watch);
    if let Err(error) = spawned {
        warn!(%error, "cannot watch standard input");
    }
}

/// Raises the soft limit of file descriptors to the hard one. The soft limit is usually 1,024
/// for the sake of programs that call `select`, which we do not.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let in_force = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => limit.current,
    };
    if let Some(files) = in_force
        && files < FILES_MIN
    {
        warn!(
            files,
            "the limit of open files is low: connections and shards may be refused; raise it \
             with `ulimit -n` or LimitNOFILE="
        );
    }
}

/// Tells programs and people that the server is there.
fn announce(config: &Config, server: &RunningServer) {
    let ready = ReadyLine { listen: server.address(), admin: server.admin_address() };
    let mut stdout = std::io::stdout().lock();
    // Whoever started us may have closed its end: the server serves all the same.
    let _ = writeln!(stdout, "{ready}").and_then(|()| stdout.flush());
    let text = welcome(config, server, style::stderr());
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn welcome(config: &Config, server: &RunningServer, style: Style) -> String {
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let durability = match config.durability {
        Durability::Fsync => "fsync: a put is acknowledged when it is on the disk".to_owned(),
        Durability::Os => style.warning(
            "os: a put is acknowledged BEFORE it is on the disk; a power cut or a crash of the \
             machine loses acknowledged records",
        ),
    };
    let rows = [
        ("clients", format!("{}://{}  (gRPC)", scheme(server), server.address())),
        ("admin", format!("http://{}  /metrics /healthz /readyz", server.admin_address())),
        ("data", data.display().to_string()),
        ("durability", durability),
        ("streams", streams(server)),
        ("opened", opened(server, style)),
    ];
    let mut lines =
        vec![String::new(), format!("{} {}", style.strong("anabranch"), *VERSION), String::new()];
    let row = |(label, value)| format!("  {} {value}", style.faint(format!("{label:<11}")));
    lines.extend(rows.map(row));
    if let Some(fingerprint) = server.fingerprint() {
        lines.push(row(("certificate", format!("sha256 {fingerprint}"))));
    }
    if config.insecure {
        let open = "everybody who can reach these addresses may read, write and delete";
        lines.push(row(("insecure", style.warning(open))));
    }
    lines.extend([String::new(), "Next:".to_owned()]);
    let server = other_server(server.address(), server.fingerprint());
    let paste = |command| format!("  anabranch {server}{command}");
    // A stream that was asked for at the start is there already.
    let made = config.streams.first().map(|stream| stream.name.to_string());
    if made.is_none() {
        lines.push(paste("stream create orders --shards 4".to_owned()));
    }
    let name = made.unwrap_or_else(|| "orders".to_owned());
    lines.push(paste(format!("put {name} FILE")));
    lines.push(paste(format!("tail {name} --from trim-horizon")));
    lines.join("\n") + "\n\n"
}

fn scheme(server: &RunningServer) -> &'static str {
    if server.fingerprint().is_some() { "https" } else { "http" }
}

/// The flags that a command to paste needs to find us, if it needs any. On this machine it may do
/// without TLS.
fn other_server(address: SocketAddr, fingerprint: Option<Fingerprint>) -> String {
    let default = Config::default().listen;
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(default.ip());
    }
    match fingerprint {
        Some(fingerprint) if !reachable.ip().is_loopback() => {
            format!("--server https://{reachable} --tls-fingerprint {fingerprint} ")
        }
        _ if reachable == default => String::new(),
        _ => format!("--server http://{reachable} "),
    }
}

fn streams(server: &RunningServer) -> String {
    let stats = server.stats();
    format!("{}, with {} shards", stats.streams, stats.shards)
}

/// What opening the data directory found, on one line.
fn opened(server: &RunningServer, style: Style) -> String {
    let report = server.opened();
    let mut parts = vec![format!("in {:.3} s", report.took.as_secs_f64())];
    if !report.clean {
        parts.push(format!(
            "not shut down cleanly: {} bytes checked, {} bytes of torn tails cut",
            report.scanned_bytes, report.truncated_bytes
        ));
    }
    if !report.damage.is_empty() {
        let damage = format!("DAMAGE in {} places, see the log", report.damage.len());
        parts.push(style.error(damage));
    }
    if !report.lost_and_found.is_empty() {
        let moved = format!("{} directories to lost+found", report.lost_and_found.len());
        parts.push(style.warning(moved));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_to_paste_name_the_server_only_where_they_must() {
        let flag = |text: &str| other_server(text.parse().unwrap(), None);
        assert_eq!(flag("127.0.0.1:4567"), "");
        assert_eq!(flag("0.0.0.0:4567"), "");
        assert_eq!(flag("127.0.0.1:9"), "--server http://127.0.0.1:9 ");
    }
}
