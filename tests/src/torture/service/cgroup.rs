//! A control group that bounds memory, of either version, and a program in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::torture::{Missing, PROGRAM, with_clean_environment};

/// Where the groups of version 1 and of version 2 are.
const V1: &str = "/sys/fs/cgroup/memory";
const V2: &str = "/sys/fs/cgroup";

/// A group, removed when it is dropped: nothing may run in it any more.
pub(super) struct Cgroup {
    dir: PathBuf,
    is_v1: bool,
}

impl Cgroup {
    /// A group whose processes may have so many bytes of memory, cached pages of files included.
    pub(super) fn new(name: &str, bytes: u64) -> Result<Cgroup> {
        let is_v1 = Path::new(V1).join("memory.limit_in_bytes").exists();
        if !is_v1 {
            // Where it is given to children already, or somebody else decides, this does nothing.
            let _ = fs::write(Path::new(V2).join("cgroup.subtree_control"), "+memory");
        }
        let parent = if is_v1 { V1 } else { V2 };
        let dir = Path::new(parent).join(format!("anabranch-{name}-{}", std::process::id()));
        let missing = |error| Missing::new(format!("no memory control group can be made: {error}"));
        fs::create_dir(&dir).map_err(missing)?;
        let group = Cgroup { dir, is_v1 };
        let limit = if is_v1 { "memory.limit_in_bytes" } else { "memory.max" };
        fs::write(group.dir.join(limit), bytes.to_string()).map_err(missing)?;
        if !is_v1 {
            // Memory that is swapped out would not count. There may be no swap at all.
            let _ = fs::write(group.dir.join("memory.swap.max"), "0");
        }
        Ok(group)
    }

    /// The program in the group, from its first instruction on; `scratch` takes a link to it.
    pub(super) fn program(&self, scratch: &Path) -> Result<Command> {
        let link = scratch.join(PROGRAM);
        if !link.exists() {
            std::os::unix::fs::symlink(std::env::current_exe()?, &link)?;
        }
        let mut command = Command::new("sh");
        command.arg("-c").arg("echo $$ > \"$0\" && exec \"$@\"");
        command.arg(self.dir.join("cgroup.procs")).arg(link);
        with_clean_environment(&mut command);
        Ok(command)
    }

    /// How often the kernel has killed a process of the group for want of memory.
    pub(super) fn kills(&self) -> Result<u64> {
        let events = if self.is_v1 { "memory.oom_control" } else { "memory.events" };
        let text = self.read(events)?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).context("no count of kills")
    }

    /// The most bytes that the group had, where the kernel tells.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        let peak = if self.is_v1 { "memory.max_usage_in_bytes" } else { "memory.peak" };
        self.read(peak).ok()?.trim().parse().ok()
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.dir.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // One that is not empty stays; it holds nothing but its name.
        let _ = fs::remove_dir(&self.dir);
    }
}
