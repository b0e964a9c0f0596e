//! What is done after each cut: verify, start, read everything, compare.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use super::event::Event;
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
}

/// A server that answers.
pub(in crate::torture) struct Running {
    pub(in crate::torture) server: Server,
    pub(in crate::torture) address: SocketAddr,
}

impl Inspector {
    /// `forgets`: whether a cut takes what was not synced.
    pub(in crate::torture) fn new(durability: Durability, forgets: bool) -> Result<Inspector> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let may_lose_the_end = forgets && durability == Durability::Os;
        let ledger = Ledger::new(may_lose_the_end);
        Ok(Inspector { runtime, durability, tally: Tally::default(), may_lose_the_end, ledger })
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
