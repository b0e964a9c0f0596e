//! A small disk in a mount namespace of its own, which lives as long as the process that holds
//! it, and no longer than we do.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::served::link;
use crate::torture::Missing;

/// What the disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Memory.
    Memory,
    /// An ext4 that cannot reserve: without extents it has no `fallocate`. A write inside a file
    /// that has no block there may find no space, take a part of its bytes, or leave it to a sync
    /// to find none.
    WithoutReservation,
}

/// The disk. Dropped, it is gone with all mounts.
pub(super) struct SmallDisk {
    holder: Child,
    scratch: PathBuf,
    mounted_at: PathBuf,
}

impl SmallDisk {
    /// Makes a disk of so many bytes.
    pub(super) fn new(scratch: &Path, kind: Kind, bytes: u64) -> Result<SmallDisk> {
        let mounted_at = scratch.join("disk");
        std::fs::create_dir_all(&mounted_at)?;
        let mount = match kind {
            Kind::Memory => format!("mount -t tmpfs -o size={bytes} small \"$1\""),
            Kind::WithoutReservation => {
                let image = scratch.join("image");
                let file = std::fs::File::create(&image)?;
                file.set_len(0)?;
                file.set_len(bytes)?;
                "mkfs.ext4 -q -F -m 0 -O ^extent,^64bit,^has_journal \"$2\" >&2 \
                 && mount -o loop \"$2\" \"$1\""
                    .to_owned()
            }
        };
        // The shell stays for as long as its input does, and the namespace for as long as it.
        let script = format!("PATH=$PATH:/usr/sbin:/sbin; {mount} && echo mounted && cat >&2");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", &script, "sh"]);
        command.arg(&mounted_at).arg(scratch.join("image"));
        let mut holder = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run unshare")?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("it is piped")).read_line(&mut line)?;
        let disk = SmallDisk { holder, scratch: scratch.to_owned(), mounted_at };
        match line.trim() {
            "mounted" => Ok(disk),
            _ => Err(Missing::new("needs to mount a small disk in a namespace").into()),
        }
    }

    /// Where a server on the disk keeps its data.
    pub(super) fn data(&self) -> PathBuf {
        self.mounted_at.join("data")
    }

    /// Leads to a server that sees the disk.
    pub(super) fn server(&self) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.holder.id().to_string(), "--"]);
        command.arg(link(&self.scratch)?);
        Ok(command)
    }

    /// The path of a file on it, for us, who do not see it mounted.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let inside = self.mounted_at.strip_prefix("/").unwrap_or(&self.mounted_at);
        root.join(inside).join(name)
    }

    /// Bytes that are free.
    pub(super) fn free(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(self.path(""))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Takes all space but so many bytes.
    pub(super) fn fill_up_to(&self, left: u64) -> Result<()> {
        let free = self.free()?;
        let bytes = vec![1; free.saturating_sub(left) as usize];
        match std::fs::write(self.path("ballast"), bytes) {
            Err(error) if error.kind() != std::io::ErrorKind::StorageFull => bail!("{error}"),
            _ => Ok(()),
        }
    }

    /// Gives it back.
    pub(super) fn free_up(&self) -> Result<()> {
        match std::fs::remove_file(self.path("ballast")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => bail!("{error}"),
            _ => Ok(()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Its shell waits for its input to end; the shell's `cat` ends with it.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
