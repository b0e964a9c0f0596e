//! Damage on purpose: every bit, every cut, stale bytes, lost indexes and lost metadata.
//!
//! The work is done in [`crate::damage`]; here stand its sizes and its figures. A violation ends
//! a check after a few of its kind.

mod external;

use anyhow::Result;

use super::{Check, Figures, Plan};
use crate::damage::segment_bits::Choice;
use crate::damage::subject::Stop;
use crate::damage::{
    Tally, by_hand, catalog_bits, index, metadata, readers, segment_bits, stale, tokens,
    truncations,
};

pub(super) const SEGMENT_BITS: Check = Check {
    name: "segment-bits",
    tier: "A",
    rows: &["R7"],
    about: "every bit of a shard of 256 KiB flipped, one at a time",
    needs: &[],
    run: run_segment_bits,
};

pub(super) const CATALOG_BITS: Check = Check {
    name: "catalog-bits",
    tier: "A",
    rows: &["R7", "R11"],
    about: "every bit of a catalog flipped, one at a time",
    needs: &[],
    run: run_catalog_bits,
};

pub(super) const TRUNCATIONS: Check = Check {
    name: "truncations",
    tier: "A",
    rows: &["R8"],
    about: "a segment cut at every byte of its last 64 KiB, and before",
    needs: &[],
    run: run_truncations,
};

pub(super) const STALE: Check = Check {
    name: "stale",
    tier: "A",
    rows: &["R9"],
    about: "valid frames of other lives behind the tail",
    needs: &[],
    run: run_stale,
};

pub(super) const INDEX: Check = Check {
    name: "index",
    tier: "A",
    rows: &["R10"],
    about: "indexes removed, damaged and exchanged",
    needs: &[],
    run: run_index,
};

pub(super) const METADATA: Check = Check {
    name: "metadata",
    tier: "A",
    rows: &["R11"],
    about: "catalog missing, damaged or foreign, lock file gone",
    needs: &[],
    run: run_metadata,
};

pub(super) const BY_HAND: Check = Check {
    name: "by-hand",
    tier: "A",
    rows: &["R7", "R11"],
    about: "large frames damaged, segments exchanged or taken away, catalogs from backups",
    needs: &[],
    run: run_by_hand,
};

pub(super) const ITERATORS: Check = Check {
    name: "iterators",
    tier: "A",
    rows: &["R19"],
    about: "every byte of shard iterators changed to every other",
    needs: &[],
    run: run_iterators,
};

pub(super) const READERS: Check = Check {
    name: "readers",
    tier: "real",
    rows: &["R13"],
    about: "maps that are read while retention takes their files, and files cut under a server",
    needs: &[],
    run: run_readers,
};

/// Adds the violations of a tally, and what they were.
fn violations(figures: &mut Figures, name: &str, tally: &Tally) {
    figures.zero(name, tally.violations());
    figures.remark_all(tally.examples());
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run_segment_bits(plan: &Plan) -> Result<Figures> {
    // The sealed segment has bits of every kind, so it is the one of which CI flips them all. One
    // that is not sealed differs in what stands where the footer goes, and in who knows its end.
    // The log that was killed comes first: there most can be got wrong.
    let alone = |payload, rest| Choice { payload, rest, together: 1 };
    let ci = [
        (Stop::Killed, "killed", alone(101, 21)),
        (Stop::Sealed, "sealed", Choice::ALL_IN_GROUPS),
        (Stop::Sealed, "sealed, one at a time", alone(97, 97)),
        (Stop::Clean, "not sealed", alone(97, 17)),
    ];
    let long = [
        (Stop::Killed, "killed", Choice::ALL),
        (Stop::Sealed, "sealed", Choice::ALL),
        (Stop::Clean, "not sealed", Choice::ALL),
    ];
    let runs = if plan.is_long() { &long[..] } else { &ci[..] };
    let bits = |choice: &Choice| (256 << 10) * 8 / choice.payload.max(choice.rest) as u64;
    plan.total(runs.iter().map(|(.., choice)| bits(choice)).sum());
    let mut figures = Figures::default();
    for (stop, of, choice) in runs {
        plan.say(*of);
        let found = segment_bits::run(*stop, *choice, &|flips| plan.advance(flips));
        // A run that found something ends there.
        let is_enough = found.reports.is_enough() || found.served.is_enough();
        let bar = if is_enough { 0 } else { bits(choice) };
        figures.at_least(format!("bits flipped, {of}"), found.reports.cases(), bar);
        figures.told(format!("of them meaningful, {of}"), found.meaningful.cases());
        figures.told(format!("of them redundant, {of}"), found.redundant.cases());
        figures.told(format!("of them idle, {of}"), found.idle.cases());
        if *stop == Stop::Killed {
            figures.told("of them in the very last frame, killed", found.tail.cases());
        }
        violations(&mut figures, &format!("not reported as FORMAT.md says, {of}"), &found.reports);
        let name = format!("wrong bytes, more lost than the frame, or numbers again, {of}");
        violations(&mut figures, &name, &found.served);
        if is_enough {
            break;
        }
    }
    Ok(figures)
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run_catalog_bits(plan: &Plan) -> Result<Figures> {
    // It counts bits as it goes: how large the catalog is, the library decides.
    let choice = match plan.is_long() {
        true => catalog_bits::Choice::ALL,
        false => catalog_bits::Choice::ALL_IN_GROUPS,
    };
    let found = catalog_bits::run(choice, &|flips| plan.advance(flips));
    let mut figures = Figures::default();
    let flips = found.harmless.cases() + found.refused.cases();
    figures.at_least("bits flipped", flips, 400_000);
    figures.told("of them harmless", found.harmless.cases());
    figures.told("of them refused at the start", found.refused.cases());
    figures.told("harmless ones lived with", found.lived_with.cases());
    figures.told("refused ones repaired", found.repaired.cases());
    violations(&mut figures, "read otherwise than before", &found.harmless);
    violations(&mut figures, "refused without naming the repair, or not reported", &found.refused);
    violations(&mut figures, "lost something later", &found.lived_with);
    violations(&mut figures, "streams not back after the repair", &found.repaired);
    Ok(figures)
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run_truncations(plan: &Plan) -> Result<Figures> {
    // Of what was stopped cleanly any cut is plain damage. It is in the log that was killed that
    // a tail has to be told from it, byte by byte.
    let (clean, before) = (plan.size(13, 1), plan.size(97, 1));
    let runs = [(Stop::Sealed, clean), (Stop::Clean, clean), (Stop::Killed, 1)];
    let cuts = |end: u64| (64 << 10) / end + (192 << 10) / before;
    plan.total(runs.iter().map(|(_, end)| cuts(*end)).sum());
    let mut figures = Figures::default();
    for (stop, end) in runs {
        let found = truncations::run(stop, (end, before), &|cuts| plan.advance(cuts));
        let of = format!("{stop:?}").to_lowercase();
        let all = found.damage.cases() + found.tail.cases();
        let is_enough = found.damage.is_enough() || found.tail.is_enough();
        figures.at_least(format!("cuts, {of}"), all, if is_enough { 0 } else { cuts(end) });
        figures.told(format!("of them damage, {of}"), found.damage.cases());
        violations(&mut figures, &format!("damage taken for a tail, {of}"), &found.damage);
        violations(&mut figures, &format!("a tail taken for damage, {of}"), &found.tail);
        if is_enough {
            break;
        }
    }
    Ok(figures)
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run_stale(plan: &Plan) -> Result<Figures> {
    let count = plan.size(2_500, 300_000);
    plan.total(3 * count);
    let mut figures = Figures::default();
    for stop in [Stop::Sealed, Stop::Clean, Stop::Killed] {
        let found = stale::run(stop, plan.seed(), count, &|files| plan.advance(files));
        let of = format!("{stop:?}").to_lowercase();
        figures.told(format!("files with stale frames, {of}"), found.cases());
        violations(&mut figures, &format!("resurrected or taken for evidence, {of}"), &found);
        if found.is_enough() {
            break;
        }
    }
    Ok(figures)
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run_index(plan: &Plan) -> Result<Figures> {
    let count = plan.size(1_200, 50_000);
    plan.total(count);
    let found = index::run(plan.seed(), count, &|indexes| plan.advance(indexes));
    let mut figures = Figures::default();
    figures.told("indexes lost", found.cases());
    violations(&mut figures, "other answers, or not rebuilt to the byte", &found);
    Ok(figures)
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run_metadata(plan: &Plan) -> Result<Figures> {
    let count = plan.size(5_000, 100_000);
    plan.total(count);
    let found = metadata::run(plan.seed(), count, &|losses| plan.advance(losses));
    let mut figures = Figures::default();
    figures.told("losses of metadata", found.cases());
    violations(&mut figures, "streams or segments lost", &found);
    Ok(figures)
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run_by_hand(plan: &Plan) -> Result<Figures> {
    let count = plan.size(300, 10_000);
    plan.total(count);
    let found = by_hand::run(plan.seed(), count, &|rounds| plan.advance(rounds));
    let mut figures = Figures::default();
    figures.told("directories harmed by hand", found.cases());
    violations(&mut figures, "more lost than what was overwritten, or not told", &found);
    Ok(figures)
}

#[expect(clippy::unnecessary_wraps, reason = "every check has this shape")]
fn run_iterators(plan: &Plan) -> Result<Figures> {
    // The bytes of the three tokens.
    plan.total(600);
    let found = tokens::run(1, &|bytes| plan.advance(bytes));
    let mut figures = Figures::default();
    figures.at_least("forged iterators", found.forged.cases(), 512 * 255);
    violations(&mut figures, "of them accepted", &found.forged);
    figures.told("true iterators, over a restart and elsewhere", found.good.cases());
    violations(&mut figures, "of them treated wrongly", &found.good);
    Ok(figures)
}

fn run_readers(plan: &Plan) -> Result<Figures> {
    let (rounds, files) = (plan.size(40, 1_000), plan.size(20, 300));
    plan.total(rounds + files);
    let found = readers::run(plan.scratch(), plan.seed(), rounds, &|rounds| plan.advance(rounds));
    let mut figures = Figures::default();
    figures.told("rounds of retention beside readers", found.rounds.cases());
    figures.at_least("segments taken", found.taken, rounds);
    figures.at_least("files kept to be used again", found.kept, rounds / 4);
    figures.told("slices held meanwhile", found.held.cases());
    violations(&mut figures, "slices that changed", &found.held);
    violations(&mut figures, "reads that failed or gave wrong bytes", &found.rounds);
    let cut = external::run(plan, files)?;
    figures.told("files cut under a server", cut.cases());
    violations(&mut figures, "servers that died, or losses not told", &cut);
    Ok(figures)
}
