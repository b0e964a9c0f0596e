//! What is done after each cut: verify, start, read everything, compare.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use super::event::Event;
use super::evidence::Evidence;
use super::ledger::Ledger;
use super::read;
use super::tally::Tally;
use crate::torture::server::{Durability, Server, verify};

/// Holds what stands after cuts against what was known before.
pub(in crate::torture) struct Inspector {
    pub(in crate::torture) runtime: Runtime,
    pub(in crate::torture) durability: Durability,
    pub(in crate::torture) tally: Tally,
    /// Whether a cut may take the unsynced end of a shard: in mode `os`, where the kernel or
    /// the file system dies as well.
    may_lose_the_end: bool,
    ledger: Ledger,
    evidence: Option<Evidence>,
}

/// A server that answers.
pub(in crate::torture) struct Running {
    pub(in crate::torture) server: Server,
    pub(in crate::torture) address: SocketAddr,
}

impl Inspector {
    /// `forgets`: whether a cut takes what was not synced. `log` is where servers write theirs,
    /// if [`evidence`](super::evidence) is to be gathered.
    pub(in crate::torture) fn new(
        durability: Durability,
        forgets: bool,
        log: Option<&Path>,
    ) -> Result<Inspector> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let may_lose_the_end = forgets && durability == Durability::Os;
        let ledger = Ledger::new(may_lose_the_end);
        let (tally, evidence) = (Tally::default(), log.map(Evidence::new));
        Ok(Inspector { runtime, durability, tally, may_lose_the_end, ledger, evidence })
    }

    /// Keeps what the last cut left behind, and says where. A mutant is found on purpose.
    pub(super) fn keep_evidence(&mut self) {
        if std::env::var_os("ANABRANCH_MUTANT").is_some() {
            return;
        }
        let Some(evidence) = &self.evidence else {
            return;
        };
        let words = match evidence.keep() {
            Ok(place) => format!("evidence is kept in {}", place.display()),
            Err(error) => format!("evidence cannot be kept: {error:#}"),
        };
        self.tally.remarks.push(words);
    }

    /// The directory is an empty one from now on.
    pub(in crate::torture) fn forget(&mut self) {
        self.ledger = Ledger::new(self.may_lose_the_end);
    }

    /// Looks at a directory after a cut, and leaves a server running in it, unless what is
    /// there is so wrong that there is no going on.
    pub(in crate::torture) fn inspect(
        &mut self,
        life: u32,
        events: &[Event],
        data: &Path,
        log: &Path,
    ) -> Result<Option<Running>> {
        if let Some(evidence) = &mut self.evidence {
            evidence.gather(data, events)?;
        }
        // A cut before there was anything leaves nothing to verify.
        if data.exists()
            && let Some(words) = verify(data)?
        {
            return Ok(self.damage(life, &format!("verify: {words}")));
        }
        let mut server = Server::spawn(data, self.durability, log)?;
        let address = match server.ready() {
            Ok(address) => address,
            Err(error) => return Ok(self.damage(life, &format!("{error:#}"))),
        };
        match self.runtime.block_on(read::everything(address)) {
            Ok(found) => self.ledger.check(life, events, found, &mut self.tally),
            Err(error) => return Ok(self.damage(life, &format!("{error:#}"))),
        }
        Ok(Some(Running { server, address }))
    }

    fn damage(&mut self, life: u32, words: &str) -> Option<Running> {
        self.tally.damage += 1;
        self.tally.remark(format!("life {life}: {words}"));
        None
    }
}
