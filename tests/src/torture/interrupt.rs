//! What an interrupted run leaves behind: nothing.
//!
//! A scratch directory is removed by whoever made it, and a signal does not let them. So a
//! thread waits for SIGINT, SIGTERM and SIGHUP, removes the directory of the check that runs,
//! and ends the process. Servers need no such care: they end with us, however we end.
//!
//! A [cell](super::cuts) ends with us as well, but it has to be gone before its directory is.
//! To remove a directory detaches what another namespace has mounted there, as one tree: a
//! tmpfs with a disk image, a loop device that holds the image open, and in the tmpfs the mount
//! that holds the loop device. Such a circle stays until the machine is started again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::{Condvar, Mutex};
use tokio::signal::unix::{SignalKind, signal};

/// What an interrupt has to know of the check that runs.
struct Running {
    /// Its directories.
    scratch: Vec<PathBuf>,
    /// Its cell, if it has one.
    cell: Cell,
}

enum Cell {
    None,
    /// One that ends when this does.
    Runs(ChildStdin),
    /// One that was told to end.
    Ends,
}

static RUNNING: Mutex<Running> = Mutex::new(Running { scratch: Vec::new(), cell: Cell::None });
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);
static CELL_HAS_ENDED: Condvar = Condvar::new();

/// The exit code of a run that was interrupted, as shells have it for SIGINT.
const INTERRUPTED: i32 = 130;
/// For all processes of a cell to be killed, and its disks to be unmounted.
const CELL_PATIENCE: Duration = Duration::from_secs(20);

/// Waits for signals from now on.
pub(super) fn watch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let wait = async {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let signals = kinds.map(signal).into_iter().collect::<std::io::Result<Vec<_>>>()?;
        let received = signals.into_iter().map(|mut signal| {
            Box::pin(async move {
                signal.recv().await;
            })
        });
        std::io::Result::Ok(futures_util::future::select_all(received))
    };
    let received = runtime.block_on(wait).context("cannot wait for signals")?;
    std::thread::spawn(move || {
        runtime.block_on(received);
        IS_INTERRUPTED.store(true, Ordering::SeqCst);
        say("interrupted");
        clean_up();
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

/// A check works here from now on, or none does.
pub(super) fn scratch(path: Option<&Path>) {
    RUNNING.lock().scratch = path.map(Path::to_owned).into_iter().collect();
}

/// The check that runs works here, too.
pub(super) fn scratch_too(path: &Path) {
    RUNNING.lock().scratch.push(path.to_owned());
}

/// Does not return once we were interrupted: what a check says now is no finding.
pub(super) fn hold() {
    while IS_INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// A cell runs, and ends when its input does.
pub(super) fn cell_runs(input: ChildStdin) {
    RUNNING.lock().cell = Cell::Runs(input);
}

/// Ends the input of the cell, if that has not been done.
pub(super) fn end_cell() {
    let mut running = RUNNING.lock();
    running.cell = match std::mem::replace(&mut running.cell, Cell::None) {
        Cell::Runs(input) => {
            drop(input);
            Cell::Ends
        }
        none_or_ending => none_or_ending,
    };
}

/// The cell is gone, with everything that was in it.
pub(super) fn cell_has_ended() {
    RUNNING.lock().cell = Cell::None;
    CELL_HAS_ENDED.notify_all();
}

fn clean_up() {
    end_cell();
    let mut running = RUNNING.lock();
    while !matches!(running.cell, Cell::None) {
        if CELL_HAS_ENDED.wait_for(&mut running, CELL_PATIENCE).timed_out() {
            say("the cell of this check does not end");
            return;
        }
    }
    for path in running.scratch.drain(..) {
        if !is_removed(&path) {
            say(&format!("{} is left behind", path.display()));
        }
    }
}

/// Removes a directory. A server may be writing there for as long as we are: it is tried for a
/// moment.
fn is_removed(path: &Path) -> bool {
    (0..20).any(|turn| {
        if turn > 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
        // Whether that has worked is seen from what is there.
        let _ = std::fs::remove_dir_all(path);
        !path.exists()
    })
}

/// Says it, if somebody listens still: who has sent the signal may have closed our output before.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
