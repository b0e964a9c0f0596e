//! What may fail in a life, and what has to follow when it does.
//!
//! A life without trouble is held to every answer. In trouble an answer may be an error, but
//! only where the disk gave cause for it: an error before anything failed, or after a restart
//! that went well, is as wrong as ever, and so is a read that fails because a write did.

use std::path::Path;

use anabranch_engine::Error;
use anabranch_engine::fs::{Failed, Fs, Op};
use anabranch_engine::sequence::SequenceNumber;

use super::life::{Life, Lived, Stop};

/// What goes wrong by intent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::torture) enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// Something that changes the disk fails with an I/O error.
    Errors,
    /// There is no space.
    Full,
    /// Something cannot be read.
    Reads,
    /// Nothing fails any more, but before this something could not be read. A start that could
    /// not read the end of a log leaves numbers out, and does not know whether records had them:
    /// damage may be reported, as long as none of what is there, or should be, lies in it.
    Doubt,
}

/// Less than this is no space: no segment and no reserve fits in.
const SPACE_BYTES: u64 = 1 << 20;

impl Life {
    /// Something failed: the power has gone, or it is an answer, or it should not have.
    pub(in crate::torture) fn failed(&mut self, what: &str, error: &Error) -> Lived {
        if self.world.fs.is_dead() {
            return Err(Stop::PowerCut);
        }
        let is_excused = match self.trouble {
            Trouble::None | Trouble::Doubt => false,
            Trouble::Errors | Trouble::Reads => self.has_failed(),
            Trouble::Full => {
                let is_right = error.is_full() || matches!(error, Error::StreamInDoubt { .. });
                is_right && (self.is_full() || self.world.fs.refusals() > self.refused_before)
            }
        };
        if !is_excused {
            return Err(Stop::Found(format!("{what} fails without cause: {error}")));
        }
        self.tally.errors += 1;
        Ok(())
    }

    /// A read failed.
    pub(in crate::torture) fn failed_read(&mut self, error: &Error) -> Lived {
        match self.trouble {
            Trouble::Errors | Trouble::Full if !self.world.fs.is_dead() => {
                Err(Stop::Found(format!("a read fails because of a write: {error}")))
            }
            _ => self.failed("a read", error),
        }
    }

    /// Whether damage may be reported.
    pub(in crate::torture) fn may_be_damaged(&self) -> bool {
        match self.trouble {
            Trouble::Doubt => true,
            Trouble::Reads => self.has_failed(),
            Trouble::None | Trouble::Errors | Trouble::Full => false,
        }
    }

    /// A reader is told of damage. Behind it there is more, and where that cannot be doubted, the
    /// reader goes on there: what should lie between is missed by the checker.
    pub(in crate::torture) fn passes(&mut self, error: &Error) -> Option<SequenceNumber> {
        match error {
            Error::Damage(found) if self.trouble == Trouble::Doubt => {
                self.tally.false_alarms += 1;
                Some(found.next_readable)
            }
            _ => None,
        }
    }

    /// Whether anything has failed since the last start began.
    pub(in crate::torture) fn has_failed(&self) -> bool {
        let fs = &self.world.fs;
        fs.failed().len() > self.failed_before || fs.failed_reads() > self.unread_before
    }

    /// Whether there is no space now.
    pub(in crate::torture) fn is_full(&self) -> bool {
        self.world.fs.space(Path::new("/")).is_ok_and(|space| space.free < SPACE_BYTES)
    }

    /// The background has done its duties: if there is space, everything is taken again.
    pub(in crate::torture) fn resume(&mut self) {
        if !self.is_full() {
            self.refused_before = self.world.fs.refusals();
        }
    }

    /// Lets the engine work, and sees to it that a log whose write or sync failed meanwhile has
    /// halted, and says so where people look. `is_commit`: it works for logs alone.
    pub(in crate::torture) fn watch<T>(
        &mut self,
        is_commit: bool,
        work: impl FnOnce(&mut Life) -> T,
    ) -> Lived<T> {
        let failed_before = self.world.fs.failed().len();
        let halted_before = self.engine().stats().halted_logs;
        let outcome = work(self);
        if self.world.fs.is_dead() {
            return Ok(outcome);
        }
        let failed = self.world.fs.failed();
        let mut of_a_log = failed[failed_before..].iter().filter(|failed| halts(failed, is_commit));
        let Some(failed) = of_a_log.next_back() else { return Ok(outcome) };
        self.tally.must_halt += 1;
        let are_told = self.all_shards().iter().any(|(stream, shard)| {
            let stream = self.engine().stream(&crate::support::name(stream));
            stream.is_ok_and(|stream| stream.shards()[*shard].progress().borrow().halted)
        });
        if self.engine().stats().halted_logs == halted_before || !are_told {
            let words = format!("{failed:?}: no log has halted, or nobody is told");
            return Err(Stop::Found(words));
        }
        self.tally.reported += 1;
        Ok(outcome)
    }
}

/// Whether the log that met this failure must halt. Names that go in the background are no log's
/// records: what fails there is tried again.
fn halts(failed: &Failed, is_commit: bool) -> bool {
    let is_log = failed.path.starts_with("/data/shards") || failed.path.starts_with("/data/spare");
    is_log
        && match failed.op {
            Op::Sync => true,
            Op::SyncDir => is_commit,
            Op::Write | Op::Zero => !failed.is_full,
            Op::Rename => is_commit && !failed.is_full,
            _ => false,
        }
}
