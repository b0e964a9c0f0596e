//! Nothing stays behind: no server and no directory, however the program ends.
//!
//! Servers of others do not end with their standard input, as ours do. So they are started
//! through a guard: this program, which asks the kernel to kill it when its parent is gone, and
//! then becomes the server. What they leave on the disk is removed by a janitor, a process of
//! its own that outlives us by a moment: by then nobody writes there any more.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, set_parent_process_death_signal};
use tempfile::TempDir;

/// How long servers have to end after us.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command that ends with us.
pub(super) fn guarded(program: impl Into<OsString>) -> Result<Command> {
    let mut command = this()?;
    command.args(["guard", "--"]).arg(program.into());
    Ok(command)
}

/// Becomes that command; comes back only where it cannot.
pub(super) fn guard(command: &[OsString]) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot watch the parent")?;
    let (program, arguments) = command.split_first().context("guard what?")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// A directory below `parent` that is removed when this is dropped, or when we end without that.
pub(super) fn swept_dir(parent: &Path) -> Result<TempDir> {
    let dir = tempfile::Builder::new().prefix("anabranch-ceilings-").tempdir_in(parent);
    let dir = dir.with_context(|| format!("cannot make a directory in {}", parent.display()))?;
    let mut janitor = this()?;
    janitor.arg("sweep").arg(dir.path().canonicalize()?);
    // A Ctrl-C is for us and not for it.
    janitor.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut janitor = janitor.spawn().context("cannot start the janitor")?;
    // Open until we end; nothing is ever written to it.
    std::mem::forget(janitor.stdin.take());
    Ok(dir)
}

/// Waits until standard input ends, and removes the directory if it is still there.
pub(super) fn sweep(dir: &Path) -> Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new()).context("cannot wait")?;
    let begun = Instant::now();
    while dir.exists() {
        // Servers that are still stopping may add a file behind the back of this call.
        match std::fs::remove_dir_all(dir) {
            Err(error) if begun.elapsed() > PATIENCE => {
                bail!("cannot remove {}: {error}", dir.display())
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    Ok(())
}

pub(super) fn this() -> Result<Command> {
    let path: PathBuf = std::env::current_exe().context("this program has no path")?;
    Ok(Command::new(path))
}
