//! The files through which loop devices are reached, made where they are missing.
//!
//! The kernel makes a loop device whenever one is asked for; the file `/dev/loopN` it makes only
//! in a `/dev` of its own. In a container that `/dev` is another, with the few files that were
//! there when it was started, or none. Devices that others have left behind, bound to images
//! that were deleted, take up those, so that there are files, and none that helps.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

/// Files that are made beyond the devices the kernel has by now.
const SPARE: u32 = 8;

/// The numbers of `loop-control`, which never change.
const CONTROL: (u32, u32) = (10, 237);

/// The major number of all loop devices.
const MAJOR: u32 = 7;

/// Makes in `dev` what is missing there. Fails where loop devices cannot be had.
pub(super) fn make_nodes(dev: &Path) -> io::Result<()> {
    let control = dev.join("loop-control");
    make_node(&control, FileType::CharacterDevice, CONTROL)?;
    // It is there without the kernel's part, too.
    File::open(&control)?;
    let shift = partition_bits();
    for number in 0..devices()? + SPARE {
        let node = dev.join(format!("loop{number}"));
        make_node(&node, FileType::BlockDevice, (MAJOR, number << shift))?;
    }
    Ok(())
}

fn make_node(path: &Path, kind: FileType, (major, minor): (u32, u32)) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    match mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, makedev(major, minor)) {
        // Another run was quicker.
        Err(error) if io::Error::from(error).kind() == ErrorKind::AlreadyExists => Ok(()),
        made => Ok(made?),
    }
}

/// The number behind the highest one that a device has.
fn devices() -> io::Result<u32> {
    let mut behind = 0;
    for entry in std::fs::read_dir("/sys/block")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("loop")?.parse().ok());
        behind = number.map_or(behind, |number: u32| behind.max(number + 1));
    }
    Ok(behind)
}

/// Bits of a minor number that tell partitions apart, which most kernels have none of.
fn partition_bits() -> u32 {
    let most = std::fs::read_to_string("/sys/module/loop/parameters/max_part");
    let most: u32 = most.ok().and_then(|most| most.trim().parse().ok()).unwrap_or(0);
    u32::BITS - most.leading_zeros()
}
