//! What is kept when a promise was not: enough to look into it without doing it again.
//!
//! ```text
//!   anabranch-evidence-XXXX/before/    the data directory after the cut, as no server has seen it
//!                           after/     the same after a server has recovered it
//!                           events     what clients did and were told in the life that was cut off
//!                           log        the words of the last server
//! ```
//!
//! A disk is gone with its check, and what a recovery has rewritten is gone before anybody
//! knows that it is wanted. So the data directory is copied after every cut; only when something
//! was found does the copy leave the scratch directory, for a place beside it that stays.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::event::Event;
use super::ground::done;
use crate::torture::interrupt;

/// The last cut of a check.
pub(super) struct Evidence {
    /// Where the server's log lies, in the scratch directory.
    log: PathBuf,
    /// The data directory that was cut off last.
    data: PathBuf,
    /// What came of the life before.
    events: Vec<Event>,
}

impl Evidence {
    /// Of nothing yet. `log` is that of the server.
    pub(super) fn new(log: &Path) -> Evidence {
        Evidence { log: log.to_owned(), data: PathBuf::new(), events: Vec::new() }
    }

    /// Copies a data directory that no server has recovered yet.
    pub(super) fn gather(&mut self, data: &Path, events: &[Event]) -> Result<()> {
        data.clone_into(&mut self.data);
        self.events = events.to_vec();
        let copy = self.copy();
        if copy.exists() {
            std::fs::remove_dir_all(&copy)?;
        }
        if data.exists() {
            done(Command::new("cp").arg("-a").arg(data).arg(&copy))?;
        }
        Ok(())
    }

    /// Brings everything to a place that stays, and names it. What cannot be had is left out.
    pub(super) fn keep(&self) -> Result<PathBuf> {
        interrupt::hold();
        let scratch = self.log.parent().expect("the log lies in the scratch directory");
        let name = scratch.file_name().unwrap_or_default().to_string_lossy();
        let place = scratch.with_file_name(name.replace("torture", "evidence"));
        let mut place = if place == scratch { scratch.join("evidence") } else { place };
        // A check of two parts has two, though it ends with the first that finds something.
        while place.exists() {
            place.as_mut_os_string().push("+");
        }
        std::fs::create_dir_all(&place)?;
        let parts =
            [(self.copy(), "before"), (self.data.clone(), "after"), (self.log.clone(), "log")];
        for (from, to) in parts.iter().filter(|(from, _)| from.exists()) {
            // A file system that was shut down and not mounted again gives nothing.
            let _ = done(Command::new("cp").arg("-a").arg(from).arg(place.join(to)));
        }
        let mut lines = String::new();
        for event in &self.events {
            writeln!(lines, "{}", event.line()).expect("a string takes everything");
        }
        std::fs::write(place.join("events"), lines)?;
        Ok(place)
    }

    fn copy(&self) -> PathBuf {
        self.log.with_extension("before")
    }
}
