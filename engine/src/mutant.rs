//! Mistakes that can be built in, one at a time: a test that has never failed proves nothing.
//!
//! Each [`Mutant`] is a mistake that a storage engine has made, somewhere. With the feature
//! `mutants` the environment variable `ANABRANCH_MUTANT` chooses one for the whole process; the
//! command `anabranch-tests mutants` runs them all and shows which check finds which. Without the
//! feature, as everything is shipped, no mutant is ever on: the compiler drops what stands behind
//! the question, and the names with it.
//!
//! The mistake itself stands where it would be made, in a line or two.

/// A mistake.
#[derive(Clone, Copy)]
#[cfg_attr(feature = "mutants", derive(PartialEq, Eq, Debug))]
pub(crate) enum Mutant {
    /// Commits are not synced.
    NoSync,
    /// No directory is ever synced.
    NoDirectorySync,
    /// Puts are acknowledged before their commit.
    AcknowledgeEarly,
    /// Readers are shown, and told of, what is not synced yet.
    ShowEarly,
    /// Readers do not compare a payload with its checksum.
    NoPayloadCheck,
    /// Recovery takes the first bad frame for a torn tail, wherever it stands.
    CutAnywhere,
    /// A frame of an earlier life of its file passes for a new one.
    AnyIncarnation,
    /// A sync that fails is tried again, and believed.
    SyncAgain,
    /// A name whose sync has failed stays, and is built on.
    NamesKept,
    /// A write that took a part of its bytes passes for one that took all.
    ShortWrite,
    /// Retention counts with the wall clock as it stands.
    WallClock,
    /// Where a file ends is off by one byte for recovery.
    OffByOne,
    /// A commit that found the disk full goes on as if it had been written.
    FullSwallowed,
    /// Recovery syncs the frames that it found, and does not write them again before.
    KeepUncleanTail,
    /// Recovery does not zero what stands behind the last frame.
    TailUnzeroed,
    /// Recovery does not sync what it has written again, and zeroed.
    TailUnsynced,
    /// Recovery does not look at what later frames know to be durable.
    IgnoreProof,
    /// Numbers that were shown and may be lost are given out again.
    ReuseNumbers,
    /// Numbers that the header of a cut frame claims are given out again.
    ForgetClaims,
    /// The first commit of a segment does not wait until the segment's name is durable.
    RollUnsynced,
    /// A reader maps more than is durable.
    SliceBeyondDurable,
    /// A segment is used again while a reader holds a part of it.
    RecycleShared,
    /// Every life of a file has the same incarnation.
    SameIncarnation,
    /// The tombstone of a stream goes before it is sure that its files have gone.
    RemovalUnsynced,
    /// A new catalog is used before its name is durable.
    CatalogUnsynced,
    /// The recorded end of a log lies above what is durable.
    MarkEarly,
    /// A frame says that those before it are durable, and they are not yet.
    ProofEarly,
    /// A stop is recorded as clean, whatever its last sync said.
    CleanAnyway,
    /// The trim horizon is shown before it is durable.
    HorizonEarly,
    /// What later frames know to be durable is sought close to the bad place only.
    ProofNear,
    /// The header of another log's segment passes for that of ours.
    AnyHeader,
    /// A catalog that says that a stop was clean is believed, whatever was written since.
    OldCatalog,
    /// A shard is closed with records staged.
    CloseUndrained,
    /// The numbers of a child begin at 1.
    ChildFromOne,
    /// A shard is closed, and its end not recorded.
    CloseUnmarked,
    /// Children take records before the catalog has them.
    ShapeEarly,
    /// The files of an expired shard go before its tombstone is there.
    FilesFirst,
    /// The parents of a reshard that failed take records, whatever a start would find.
    ReopenInDoubt,
}

impl Mutant {
    /// Whether the mistake is made in this process.
    #[cfg(not(feature = "mutants"))]
    #[inline(always)]
    #[expect(clippy::inline_always, clippy::unused_self, reason = "nothing of it is to remain")]
    pub(crate) const fn is_on(self) -> bool {
        false
    }

    /// Whether the mistake is made in this process.
    #[cfg(feature = "mutants")]
    pub(crate) fn is_on(self) -> bool {
        *chosen::CHOSEN == Some(self)
    }

    /// Does `work`, unless the mistake is to leave it out.
    #[inline]
    pub(crate) fn skips<E>(self, work: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if self.is_on() { Ok(()) } else { work() }
    }
}

#[cfg(feature = "mutants")]
pub use chosen::{VARIABLE, names};

#[cfg(feature = "mutants")]
mod chosen {
    use std::sync::LazyLock;

    use super::Mutant;

    /// The environment variable that names the mutant of a process.
    pub const VARIABLE: &str = "ANABRANCH_MUTANT";

    /// The numbers are those of the project's list; those that came later have words.
    const NAMES: &[(&str, Mutant)] = &[
        ("m1", Mutant::NoSync),
        ("m2", Mutant::NoDirectorySync),
        ("m3", Mutant::AcknowledgeEarly),
        ("m4", Mutant::ShowEarly),
        ("m5", Mutant::NoPayloadCheck),
        ("m6", Mutant::CutAnywhere),
        ("m7", Mutant::AnyIncarnation),
        ("m8", Mutant::SyncAgain),
        ("names-kept", Mutant::NamesKept),
        ("m9", Mutant::ShortWrite),
        ("m10", Mutant::WallClock),
        ("m12", Mutant::OffByOne),
        ("m13", Mutant::FullSwallowed),
        ("unclean-tail", Mutant::KeepUncleanTail),
        ("tail-unzeroed", Mutant::TailUnzeroed),
        ("tail-unsynced", Mutant::TailUnsynced),
        ("no-proof", Mutant::IgnoreProof),
        ("reuse-numbers", Mutant::ReuseNumbers),
        ("forget-claims", Mutant::ForgetClaims),
        ("roll-unsynced", Mutant::RollUnsynced),
        ("slice-beyond", Mutant::SliceBeyondDurable),
        ("recycle-shared", Mutant::RecycleShared),
        ("same-incarnation", Mutant::SameIncarnation),
        ("removal-unsynced", Mutant::RemovalUnsynced),
        ("catalog-unsynced", Mutant::CatalogUnsynced),
        ("mark-early", Mutant::MarkEarly),
        ("proof-early", Mutant::ProofEarly),
        ("clean-anyway", Mutant::CleanAnyway),
        ("horizon-early", Mutant::HorizonEarly),
        ("proof-near", Mutant::ProofNear),
        ("any-header", Mutant::AnyHeader),
        ("old-catalog", Mutant::OldCatalog),
        ("close-undrained", Mutant::CloseUndrained),
        ("child-from-one", Mutant::ChildFromOne),
        ("close-unmarked", Mutant::CloseUnmarked),
        ("shape-early", Mutant::ShapeEarly),
        ("files-first", Mutant::FilesFirst),
        ("reopen-in-doubt", Mutant::ReopenInDoubt),
    ];

    /// The mutant of this process; read once.
    pub(super) static CHOSEN: LazyLock<Option<Mutant>> = LazyLock::new(|| {
        let name = std::env::var_os(VARIABLE)?;
        let chosen = NAMES.iter().find(|(known, _)| name == *known);
        let Some((name, mutant)) = chosen else {
            // Not an error to pass on, and not a panic, which a check could take for its own: a
            // mutant that is not there would be found by nobody, or by everybody.
            let known: Vec<_> = names().collect();
            eprintln!(
                "error: {VARIABLE}={}: no such mutant; there are: {}",
                name.display(),
                known.join(", ")
            );
            std::process::exit(2);
        };
        eprintln!("{VARIABLE}={name}: this process makes a mistake on purpose: {mutant:?}");
        Some(*mutant)
    });

    /// The names of all mutants.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}
