//! Stops under load: SIGTERM to a server that is put to and read from, again and again.
//!
//! ```text
//!   start -> load -> SIGTERM -> exit, and everything compared -> start ...
//!
//!   plain   : nobody is in the way
//!   stuck   : a client has begun a call and never ends it; the server waits for it, and goes
//!   second  : a stuck client, and a second signal while the server waits: it goes at once
//! ```
//!
//! What was acknowledged stands, as after a kill; that is compared in the same way
//! ([`cuts`](crate::torture::cuts)). More is asked of a stop: it takes less than five seconds and
//! ends with exit code 0, the next start finds the logs' ends recorded and reads no frame, and
//! a subscriber is told in words that the server goes.
//!
//! After a second signal nothing is promised but what a kill leaves: exit code 1, at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anabranch_client::Position;
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::logged;
use super::measure::largest;
use super::mute::Mute;
use crate::support::Random;
use crate::torture::cuts::event::Event;
use crate::torture::cuts::inspect::{Inspector, Running};
use crate::torture::cuts::load;
use crate::torture::server::{Durability, PATIENCE, connect};
use crate::torture::{Bar, Check, Figures, Plan};

pub(in crate::torture) const CHECK: Check = Check {
    name: "graceful-stop",
    tier: "real",
    rows: &["R24"],
    about: "SIGTERM under load, also with a stuck client and a second signal; all compared",
    needs: &[],
    run,
};

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Plain,
    Stuck,
    Second(Signal),
}

/// One life in so many has a stuck client, and as many have each kind of second signal.
const LIVES_PER_TROUBLE: u64 = 8;
/// Milliseconds of a life are below this, once it is answered.
const LIFE_MS: u64 = 300;
const ANSWERS: u64 = 64;
/// Seconds that a stop may take, and one by a second signal.
const DRAIN_MAX_S: f64 = 5.0;
const SECOND_MAX_S: f64 = 1.0;
/// What the subscriber reads that waits for the end.
const STREAM: &str = "deep";
const CONSUMER: &str = "last";

fn run(plan: &Plan) -> Result<Figures> {
    let lives = plan.size(10, 400);
    plan.total(lives);
    let mut stops = Stops {
        inspector: Inspector::new(Durability::Fsync, false, None)?,
        data: plan.scratch().join("data"),
        log: plan.scratch().join("server.log"),
        random: Random(plan.seed()),
        seen: Seen::default(),
    };
    let mut running = stops.inspector.inspect(0, &[], &stops.data, &stops.log)?;
    for life in 1..=lives {
        let Some(server) = running.take() else { break };
        let ending = ending(life);
        let events = stops.live(life as u32, server, ending)?;
        running = stops.inspector.inspect(life as u32, &events, &stops.data, &stops.log)?;
        stops.look_at_start(ending)?;
        stops.inspector.tally.cuts += 1;
        plan.advance(1);
        if stops.inspector.tally.is_violated() {
            break;
        }
    }
    if let Some(Running { server, .. }) = running {
        server.stop()?;
    }
    Ok(stops.figures(lives))
}

fn ending(life: u64) -> Ending {
    match life % LIVES_PER_TROUBLE {
        2 => Ending::Stuck,
        4 => Ending::Second(Signal::TERM),
        6 => Ending::Second(Signal::INT),
        _ => Ending::Plain,
    }
}

/// What stops have shown.
#[derive(Default)]
struct Seen {
    /// Seconds from the signal to the exit, of stops without and with a stuck client.
    plain_s: Vec<f64>,
    stuck_s: Vec<f64>,
    /// From the second signal to the exit.
    second_s: Vec<f64>,
    /// Stops with another exit code than they should have.
    wrong_exits: u64,
    /// Starts after a stop that found it unclean, or read frames.
    unclean_starts: u64,
    /// Subscriptions, and those that ended in any other way than being told.
    subscriptions: u64,
    untold: u64,
}

struct Stops {
    inspector: Inspector,
    data: PathBuf,
    log: PathBuf,
    random: Random,
    seen: Seen,
}

impl Stops {
    /// A life under load, its end, and what clients were told in it.
    fn live(&mut self, life: u32, running: Running, ending: Ending) -> Result<Vec<Event>> {
        let Running { server, address } = running;
        let (sender, mut receiver) = unbounded_channel();
        let load = self.inspector.runtime.spawn(load::run(address, life, sender));
        let answers = 1 + self.random.below(ANSWERS);
        let mut events = Vec::new();
        let first_answers = async {
            let mut seen = 0;
            while seen < answers {
                let event = receiver.recv().await.context("the load ended early")?;
                seen += u64::from(matches!(event, Event::Acknowledged { .. }));
                events.push(event);
            }
            anyhow::Ok(())
        };
        let answered = async { timeout(PATIENCE, first_answers).await };
        let answered = self.inspector.runtime.block_on(answered);
        answered.context("puts get no answers")??;
        let last = self.inspector.runtime.spawn(subscribe(address));
        let stuck = match ending {
            Ending::Plain => None,
            _ => Some(self.inspector.runtime.block_on(Mute::begin_put(address))?),
        };
        std::thread::sleep(Duration::from_millis(LIFE_MS / 3 + self.random.below(LIFE_MS)));

        let mut signalled = Instant::now();
        server.signal(Signal::TERM)?;
        if let Ending::Second(signal) = ending {
            self.wait_for_drain()?;
            signalled = Instant::now();
            server.signal(signal)?;
        }
        let status = server.ended()?;
        let took_s = signalled.elapsed().as_secs_f64();
        drop(stuck);
        let (expected, times) = match ending {
            Ending::Plain => (0, &mut self.seen.plain_s),
            Ending::Stuck => (0, &mut self.seen.stuck_s),
            Ending::Second(_) => (1, &mut self.seen.second_s),
        };
        times.push(took_s);
        if status.code() != Some(expected) {
            self.seen.wrong_exits += 1;
            self.inspector.tally.remark(format!("life {life}: {ending:?} ended with {status}"));
        }

        let ended = async { timeout(PATIENCE, async { (load.await, last.await) }).await };
        let (load, last) = self.inspector.runtime.block_on(ended).context("clients hang")?;
        load??;
        self.note_subscription(life, ending, last??);
        while let Ok(event) = receiver.try_recv() {
            events.push(event);
        }
        Ok(events)
    }

    /// Waits until the server says that it drains: a signal before that would be the first.
    fn wait_for_drain(&self) -> Result<()> {
        let begun = Instant::now();
        while !std::fs::read_to_string(&self.log)?.contains("draining") {
            if begun.elapsed() > PATIENCE {
                bail!("the server does not say that it drains");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn note_subscription(&mut self, life: u32, ending: Ending, end: Option<End>) {
        // One that came too late to begin was told so by the call itself.
        let Some(end) = end else { return };
        // A second signal may come before the subscriber was told.
        if matches!(ending, Ending::Second(_)) {
            return;
        }
        self.seen.subscriptions += 1;
        if let End::Else(words) = end {
            self.seen.untold += 1;
            self.inspector.tally.remark(format!("life {life}: a subscription ended: {words}"));
        }
    }

    /// What the log of the start after a stop says of it.
    fn look_at_start(&mut self, ending: Ending) -> Result<()> {
        if matches!(ending, Ending::Second(_)) {
            return Ok(());
        }
        let log = std::fs::read_to_string(&self.log)?;
        let (clean, scanned) = (logged(&log, "clean"), logged(&log, "scanned_bytes"));
        if clean != Some("true") || scanned != Some("0") {
            self.seen.unclean_starts += 1;
            let words = format!("after {ending:?}: clean {clean:?}, scanned {scanned:?}");
            self.inspector.tally.remark(words);
        }
        Ok(())
    }

    fn figures(self, lives: u64) -> Figures {
        let Stops { mut inspector, seen, .. } = self;
        inspector.tally.millis = 0;
        let mut figures = Figures::default();
        let tally = inspector.tally.figures("stops", lives);
        for figure in tally.iter().filter(|figure| figure.name != "time of a cut") {
            figures.add(figure.name.clone(), figure.value, figure.unit, figure.bar);
        }
        figures.zero("wrong exit codes", seen.wrong_exits);
        figures.zero("unclean starts after a stop", seen.unclean_starts);
        figures.at_least("subscriptions ended by a stop", seen.subscriptions, lives / 4);
        figures.zero("subscriptions not told so", seen.untold);
        for (name, times, bar) in [
            ("slowest stop", &seen.plain_s, DRAIN_MAX_S),
            ("slowest stop with a stuck client", &seen.stuck_s, DRAIN_MAX_S),
            ("slowest exit by a second signal", &seen.second_s, SECOND_MAX_S),
        ] {
            figures.add(name, largest(times), "s", Bar::AtMost(bar));
        }
        figures.remark_all(tally.remarks());
        figures
    }
}

/// How a subscription ended.
enum End {
    /// With the words that the server shuts down.
    Told,
    Else(String),
}

/// Subscribes, and reads to the end; `None` where the server went before there was anything.
async fn subscribe(address: SocketAddr) -> Result<Option<End>> {
    let Ok(client) = connect(address).await else { return Ok(None) };
    match client.register_stream_consumer(STREAM, CONSUMER).await {
        Ok(_) | Err(anabranch_client::Error::InUse { .. }) => {}
        Err(_) => return Ok(None),
    }
    let shard_id = "shardId-000000000000";
    let events = client.subscribe_to_shard(STREAM, CONSUMER, shard_id, Position::Latest).await;
    let Ok(mut events) = events else { return Ok(None) };
    loop {
        match events.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Some(End::Else("as if it were complete".to_owned()))),
            Err(status) => {
                let details = String::from_utf8_lossy(status.details()).into_owned();
                let is_told = details.contains("ShuttingDownException");
                let end = if is_told { End::Told } else { End::Else(status.to_string()) };
                return Ok(Some(end));
            }
        }
    }
}
