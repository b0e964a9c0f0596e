//! What a check needs of the machine, and saying so where it is missing.

use std::path::Path;

use super::loop_devices;

/// Something that not every machine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// To be root.
    Root,
    /// A program on the path, and the Debian package that brings it.
    Program {
        /// The program's name.
        name: &'static str,
        /// Its package.
        package: &'static str,
    },
    /// Loop devices that can be set up.
    LoopDevices,
    /// A feature of this package, which the build has to name.
    Feature {
        /// Its name.
        name: &'static str,
        /// Whether this build has it: `cfg!(feature = "..")`.
        is_on: bool,
    },
    /// Free space for scratch files.
    Space {
        /// So many bytes.
        bytes: u64,
    },
}

impl Need {
    /// What is missing here, in words; `None` where it is there.
    pub fn missing(self, scratch: &Path) -> Option<String> {
        match self {
            Need::Root => (!rustix::process::geteuid().is_root()).then(|| "needs root".to_owned()),
            Need::Program { name, package } => (!is_on_path(name))
                .then(|| format!("needs the program {name} (Debian: apt-get install {package})")),
            Need::LoopDevices => {
                let made = loop_devices::make_nodes(Path::new("/dev"));
                made.err().map(|error| format!("needs loop devices, and has none: {error}"))
            }
            Need::Feature { name, is_on } => {
                (!is_on).then(|| format!("needs a build with --features {name}"))
            }
            Need::Space { bytes } => {
                let space = rustix::fs::statvfs(scratch).ok()?;
                let free = space.f_bavail.saturating_mul(space.f_frsize);
                (free < bytes).then(|| {
                    let (free, bytes) = (free >> 20, bytes >> 20);
                    format!("needs {bytes} MiB in {}, {free} are free", scratch.display())
                })
            }
        }
    }
}

/// Administrators' programs stand where the path of others does not look.
fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = ["/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(known).any(|dir| dir.join(name).is_file())
}

/// Something turned out to be missing while a check ran: it counts as skipped.
#[derive(Debug)]
pub struct Missing(String);

impl Missing {
    /// What is missing, in words that go on from "skipped: ".
    pub fn new(what: impl Into<String>) -> Missing {
        Missing(what.into())
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let scratch = std::env::temp_dir();
        let shell = Need::Program { name: "sh", package: "dash" };
        assert_eq!(shell.missing(&scratch), None);
        let unknown = Need::Program { name: "no-such-program", package: "a-package" };
        assert!(unknown.missing(&scratch).unwrap().contains("apt-get install a-package"));
        let plenty = Need::Space { bytes: u64::MAX };
        assert!(plenty.missing(&scratch).unwrap().contains("are free"));
        let feature = Need::Feature { name: "mutants", is_on: false };
        assert_eq!(feature.missing(&scratch).unwrap(), "needs a build with --features mutants");
    }
}
