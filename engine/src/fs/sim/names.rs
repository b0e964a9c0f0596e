//! The names of a simulated disk: which are, which are durable, and the changes between.
//!
//! A change of a name is pending until the directory of the (new) name is synced, and a
//! power cut decides each pending change by itself, with one rule: a change that survives
//! takes along the earlier changes of the same names. So a rename is the old name or the new
//! one and never neither, and a name made over a renamed-away one never swallows a file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A file or directory, whatever its name.
pub(super) type Ino = u64;
/// The directory that always exists.
pub(super) const ROOT: Ino = 0;

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) dir: Ino,
    pub(super) name: OsString,
}

/// A change that no sync of its directory has covered yet.
#[derive(Clone)]
pub(super) enum Change {
    Make { name: Name, ino: Ino },
    Remove { name: Name },
    Rename { from: Name, to: Name, ino: Ino },
}

impl Change {
    /// The directory whose sync makes the change durable. For a rename between directories
    /// that is the new one: a sync of the old one alone promises nothing.
    fn home(&self) -> Ino {
        match self {
            Change::Make { name, .. } | Change::Remove { name } => name.dir,
            Change::Rename { to, .. } => to.dir,
        }
    }

    fn names(&self) -> impl Iterator<Item = &Name> {
        let (one, other) = match self {
            Change::Make { name, .. } | Change::Remove { name } => (name, None),
            Change::Rename { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(one).chain(other)
    }

    fn apply(&self, names: &mut BTreeMap<Name, Ino>) {
        match self {
            Change::Make { name, ino } => {
                names.insert(name.clone(), *ino);
            }
            Change::Remove { name } => {
                names.remove(name);
            }
            Change::Rename { from, to, ino } => {
                names.remove(from);
                names.insert(to.clone(), *ino);
            }
        }
    }
}

/// A change, and what has become of the syncs that should have covered it.
#[derive(Clone)]
struct Pending {
    change: Change,
    /// A sync has failed: no later one makes the change durable.
    is_lost: bool,
}

/// All names of a disk.
#[derive(Clone, Default)]
pub(super) struct Names {
    current: BTreeMap<Name, Ino>,
    durable: BTreeMap<Name, Ino>,
    /// In the order in which they were made.
    pending: Vec<Pending>,
}

impl Names {
    pub(super) fn get(&self, name: &Name) -> Option<Ino> {
        self.current.get(name).copied()
    }

    /// The path of what has a name.
    pub(super) fn path_of(&self, mut ino: Ino) -> Option<PathBuf> {
        let mut parts = Vec::new();
        while ino != ROOT {
            let (name, _) = self.current.iter().find(|(_, named)| **named == ino)?;
            parts.push(&name.name);
            ino = name.dir;
        }
        Some(Path::new("/").join(parts.into_iter().rev().collect::<PathBuf>()))
    }

    /// Entries of a directory.
    pub(super) fn entries(&self, dir: Ino) -> impl Iterator<Item = (&OsString, Ino)> {
        let name = OsString::new();
        let from = self.current.range(Name { dir, name }..);
        let of_dir = from.take_while(move |(name, _)| name.dir == dir);
        of_dir.map(|(name, ino)| (&name.name, *ino))
    }

    /// What has a name.
    pub(super) fn named(&self) -> BTreeSet<Ino> {
        self.current.values().copied().collect()
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.pending.push(Pending { change, is_lost: false });
    }

    /// Makes a name that is durable at once, for tests that set a stage.
    pub(super) fn make_durable(&mut self, name: Name, ino: Ino) {
        let change = Change::Make { name, ino };
        change.apply(&mut self.current);
        change.apply(&mut self.durable);
    }

    /// Makes the directory's entries durable.
    pub(super) fn sync(&mut self, dir: Ino) {
        let is_covered = |pending: &Pending| pending.change.home() == dir && !pending.is_lost;
        let (kept, left) = self.choose(is_covered);
        for pending in kept {
            pending.change.apply(&mut self.durable);
        }
        self.pending = left;
    }

    /// A sync of a directory that fails: its changes count as clean from now on.
    pub(super) fn lose(&mut self, dir: Ino) {
        let lost = self.pending.iter_mut().filter(|pending| pending.change.home() == dir);
        lost.for_each(|pending| pending.is_lost = true);
    }

    /// What a power cut leaves, where `survives` decides on each pending change.
    pub(super) fn after_power_cut(&self, mut survives: impl FnMut() -> bool) -> Names {
        let mut names = self.durable.clone();
        for pending in self.choose(|_| survives()).0 {
            pending.change.apply(&mut names);
        }
        Names { current: names.clone(), durable: names, pending: Vec::new() }
    }

    /// Splits the pending changes into the chosen ones, with what they take along, and the
    /// others.
    fn choose(&self, mut chosen: impl FnMut(&Pending) -> bool) -> (Vec<Pending>, Vec<Pending>) {
        let mut touched = BTreeSet::new();
        let (mut kept, mut left) = (Vec::new(), Vec::new());
        for pending in self.pending.iter().rev() {
            // Asked for every change, so that the same seed draws the same numbers.
            let is_chosen = chosen(pending);
            if is_chosen || pending.change.names().any(|name| touched.contains(name)) {
                touched.extend(pending.change.names());
                kept.push(pending.clone());
            } else {
                left.push(pending.clone());
            }
        }
        kept.reverse();
        left.reverse();
        (kept, left)
    }

    /// What is reachable now, or may be after a power cut. Names in directories that are
    /// gone for good are forgotten.
    pub(super) fn collect(&mut self) -> BTreeSet<Ino> {
        let mut inside: BTreeMap<Ino, Vec<Ino>> = BTreeMap::new();
        for (name, ino) in self.current.iter().chain(&self.durable) {
            inside.entry(name.dir).or_default().push(*ino);
        }
        for pending in &self.pending {
            match &pending.change {
                Change::Make { name, ino } | Change::Rename { to: name, ino, .. } => {
                    inside.entry(name.dir).or_default().push(*ino);
                }
                Change::Remove { .. } => {}
            }
        }
        let mut live = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(dir) = open.pop() {
            for ino in inside.remove(&dir).unwrap_or_default() {
                if live.insert(ino) {
                    open.push(ino);
                }
            }
        }
        self.durable.retain(|name, _| live.contains(&name.dir));
        // A rename out of a living directory still matters there.
        let is_rename = |change: &Change| matches!(change, Change::Rename { .. });
        self.pending
            .retain(|Pending { change, .. }| is_rename(change) || live.contains(&change.home()));
        live
    }
}
