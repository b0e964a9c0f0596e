//! Where the data lies, and how it is cut off.
//!
//! The cut of a file system is the ioctl `EXT4_IOC_SHUTDOWN`, which is also
//! `XFS_IOC_GOINGDOWN`, with the flag not to flush the log: from that moment the file system
//! writes nothing and answers every call with an error, so what it had not made durable is
//! gone when it is mounted again. The test crates have no `unsafe`, which an ioctl needs, so
//! perl does it: of all programs that can, it is the one that is on every Debian (`xfs_io`
//! can as well, and comes with a package that ext4 alone does not need). It is started before
//! it is needed and waits for a line, so that the cut comes at the moment that was chosen.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// A place for a data directory.
pub(super) trait Ground {
    /// Makes it empty, and names the data directory to be made there.
    fn fresh(&mut self) -> Result<PathBuf>;

    /// Makes ready for a cut, so that it takes no time when it comes.
    fn arm(&mut self) -> Result<()>;

    /// The cut.
    fn pull(&mut self) -> Result<()>;

    /// Makes it usable again, once the server is gone.
    fn settle(&mut self) -> Result<()>;

    /// Whether a cut takes what was not synced.
    fn forgets(&self) -> bool;

    /// Where the server's log may go: a place that survives the cut.
    fn log(&self) -> PathBuf;
}

/// A directory on whatever is there. Its cut is that of the process alone.
pub(super) struct Directory {
    scratch: PathBuf,
    count: u32,
}

impl Directory {
    pub(super) fn new(scratch: &Path) -> Directory {
        Directory { scratch: scratch.to_owned(), count: 0 }
    }

    fn data(&self) -> PathBuf {
        self.scratch.join(format!("data-{}", self.count))
    }
}

impl Ground for Directory {
    fn fresh(&mut self) -> Result<PathBuf> {
        if self.data().exists() {
            std::fs::remove_dir_all(self.data())?;
        }
        self.count += 1;
        Ok(self.data())
    }

    fn arm(&mut self) -> Result<()> {
        Ok(())
    }

    fn pull(&mut self) -> Result<()> {
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    fn forgets(&self) -> bool {
        false
    }

    fn log(&self) -> PathBuf {
        self.scratch.join("server.log")
    }
}

/// A file system that can be shut down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FileSystem {
    Ext4,
    Xfs,
}

/// Bytes of a disk: room for all that the load puts between two fresh starts. The file is
/// sparse.
const DISK_BYTES: u64 = 768 << 20;

/// A file system in a file, on a loop device that goes when it is unmounted.
pub(super) struct Disk {
    file_system: FileSystem,
    scratch: PathBuf,
    is_mounted: bool,
    /// Waits for a line, and shuts down.
    trigger: Option<Child>,
}

impl Disk {
    /// A disk in a directory, where it is mounted, too.
    pub(super) fn new(file_system: FileSystem, scratch: &Path) -> Result<Disk> {
        std::fs::create_dir_all(scratch.join("mounted"))?;
        Ok(Disk { file_system, scratch: scratch.to_owned(), is_mounted: false, trigger: None })
    }

    /// The file that is the disk.
    pub(super) fn image(&self) -> PathBuf {
        self.scratch.join("disk")
    }

    /// Where it is mounted.
    pub(super) fn mounted_at(&self) -> PathBuf {
        self.scratch.join("mounted")
    }

    /// The data directory on it.
    pub(super) fn data(&self) -> PathBuf {
        self.mounted_at().join("data")
    }

    /// Makes an empty file system.
    pub(super) fn format(&mut self) -> Result<()> {
        self.unmount()?;
        let image = self.image();
        let file = std::fs::File::create(&image)?;
        file.set_len(0)?;
        file.set_len(DISK_BYTES)?;
        // What is not there needs no discarding, and tables of inodes can be zeroed later.
        let mut command = match self.file_system {
            FileSystem::Ext4 => {
                let mut command = Command::new("mkfs.ext4");
                let lazy = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
                command.args(["-q", "-F", "-m", "0", "-E", lazy]);
                command
            }
            FileSystem::Xfs => {
                let mut command = Command::new("mkfs.xfs");
                command.args(["-q", "-f", "-K"]);
                command
            }
        };
        done(command.arg(&image))
    }

    /// Mounts it; what its log holds is replayed.
    pub(super) fn mount(&mut self) -> Result<()> {
        done(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.mounted_at()))?;
        self.is_mounted = true;
        Ok(())
    }

    /// Unmounts it, if it is mounted.
    pub(super) fn unmount(&mut self) -> Result<()> {
        if self.is_mounted {
            done(Command::new("umount").arg(self.mounted_at()))?;
            self.is_mounted = false;
        }
        Ok(())
    }
}

impl Ground for Disk {
    fn fresh(&mut self) -> Result<PathBuf> {
        self.format()?;
        self.mount()?;
        Ok(self.data())
    }

    fn arm(&mut self) -> Result<()> {
        const SHUTDOWN: &str = r#"
            open(my $mounted, "<", $ARGV[0]) or die "open: $!";
            my $without_flush = pack("L", 2);
            $| = 1;
            print "armed\n";
            <STDIN> or die "never mind";
            ioctl($mounted, 0x8004587D, $without_flush) or die "ioctl: $!";
        "#;
        let mut command = Command::new("perl");
        command.args(["-e", SHUTDOWN]).arg(self.mounted_at());
        let mut trigger = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = trigger.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        self.trigger = Some(trigger);
        Ok(())
    }

    fn pull(&mut self) -> Result<()> {
        let mut trigger = self.trigger.take().context("a cut is armed before it comes")?;
        let mut stdin = trigger.stdin.take().expect("it is piped");
        stdin.write_all(b"now\n")?;
        match trigger.wait()? {
            status if status.success() => Ok(()),
            status => bail!("the file system cannot be shut down: {status}"),
        }
    }

    fn settle(&mut self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn forgets(&self) -> bool {
        true
    }

    fn log(&self) -> PathBuf {
        self.scratch.join("server.log")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(mut trigger) = self.trigger.take() {
            let _ = trigger.kill();
            let _ = trigger.wait();
        }
        // The namespace takes it along if this fails.
        let _ = self.unmount();
    }
}

/// Runs a command to its end; one that fails is an error with its words.
pub(super) fn done(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}: {}", output.status, words.trim());
    }
    Ok(())
}
