//! The real program, under load, on real file systems, and cut off.
//!
//! ```text
//!   load (clients) --puts, reads--> anabranch --writes--> ext4 or xfs on a loop device
//!     |                                 ^                    ^
//!     | what was acknowledged,          | kill -9            | shutdown ioctl: what is not
//!     | what was shown                  |                    | synced is gone
//!     v                                 |                    |
//!   ledger <---reads everything--- anabranch again <--- umount, mount
//! ```
//!
//! A *life* is one run of the server under a [`load`]; a *cut* ends it; then the [`ledger`]
//! compares what stands in the log with what the clients of that life were told, and with all
//! that was served after earlier cuts. A file system lives through many cuts, so that what one
//! recovery leaves behind is what the next one meets. Some cuts come while the server is still
//! starting, and some as soon as it has recovered and was read, before anything is put: what
//! was shown then, no cut may take any more, in neither durability mode.
//!
//! A cut after which something is found leaves [`evidence`] behind: the data directory as it
//! stood before anybody recovered it, and what clients had been told.
//!
//! There are three kinds of cut, in the order of what they take away:
//!
//! - `kills`: the process dies, the kernel lives. The page cache survives, so it finds what
//!   was acknowledged before it was written.
//! - `ext4-cuts`, `xfs-cuts`: the file system is shut down without flushing its log. What was
//!   not synced is gone, so it finds a sync that is missing or comes late.
//! - `machine-cuts`: a whole kernel dies (user-mode-linux), and nothing in it is asked first.
//!
//! Each is done in both durability modes. In `os` a cut may take what was acknowledged, but
//! only from the end of a shard: see [`ledger`].
//!
//! What needs root lives in a [`cell`]: a mount and process namespace of its own, with its
//! disks in memory. Whatever happens to us, the kernel takes all of that away.

mod cell;
pub(super) mod event;
mod evidence;
mod ground;
mod guest;
pub(super) mod inspect;
mod ledger;
mod lives;
pub(super) mod load;
mod machine;
mod read;
mod record;
pub(super) mod tally;

pub use cell::{CellArguments, run as run_cell};
pub use guest::{GuestArguments, run as run_guest};

use anyhow::Result;

use super::server::Durability;
use super::{Check, Figures, Need, Plan};
use cell::Kind;
use lives::Order;
use tally::Tally;

pub(super) const KILLS: Check = Check {
    name: "kills",
    tier: "real",
    rows: &["R1", "R14"],
    about: "the server killed under load, and everything compared after each kill",
    needs: &[],
    run: kills,
};

pub(super) const EXT4: Check = Check {
    name: "ext4-cuts",
    tier: "B",
    rows: &["R3", "R14", "R15"],
    about: "ext4 shut down under a server with load, mounted again, everything compared",
    needs: &[
        Need::Root,
        Need::LoopDevices,
        UNSHARE,
        MOUNT,
        PERL,
        program("mkfs.ext4", "e2fsprogs"),
    ],
    run: |plan| cell::figures(plan, Kind::Ext4, &orders(plan, 50, 1_000)),
};

pub(super) const XFS: Check = Check {
    name: "xfs-cuts",
    tier: "B",
    rows: &["R3", "R14", "R15"],
    about: "xfs shut down under a server with load, mounted again, everything compared",
    needs: &[Need::Root, Need::LoopDevices, UNSHARE, MOUNT, PERL, program("mkfs.xfs", "xfsprogs")],
    run: |plan| cell::figures(plan, Kind::Xfs, &orders(plan, 10, 1_000)),
};

pub(super) const MACHINE: Check = Check {
    name: "machine-cuts",
    tier: "C",
    rows: &["R4", "R14", "R15"],
    about: "a kernel killed with the server in it, its disk compared on the host",
    needs: &[
        Need::Root,
        Need::LoopDevices,
        UNSHARE,
        MOUNT,
        program("ip", "iproute2"),
        program("mkfs.ext4", "e2fsprogs"),
        program("linux.uml", "user-mode-linux"),
    ],
    run: |plan| cell::figures(plan, Kind::Machine, &orders(plan, 2, 100)),
};

const UNSHARE: Need = program("unshare", "util-linux");
const MOUNT: Need = program("mount", "mount");
/// For the one ioctl that no safe Rust has: see [`ground`].
const PERL: Need = program("perl", "perl-base");

const fn program(name: &'static str, package: &'static str) -> Need {
    Need::Program { name, package }
}

/// So many cuts with `--durability fsync`, and a fifth of that with `os` on top.
fn orders(plan: &Plan, ci: u64, long: u64) -> [Order; 2] {
    let cuts = plan.size(ci, long);
    [
        Order { cuts, durability: Durability::Fsync, seed: plan.seed() },
        Order { cuts: cuts.div_ceil(5), durability: Durability::Os, seed: plan.seed() },
    ]
}

fn kills(plan: &Plan) -> Result<Figures> {
    let orders = orders(plan, 50, 1_000);
    plan.total(orders.iter().map(|order| order.cuts).sum());
    let mut tally = Tally::default();
    for order in &orders {
        let mut ground = ground::Directory::new(plan.scratch());
        tally.add(lives::run(order, &mut ground, &|| plan.advance(1))?);
    }
    Ok(tally.figures("kills", orders.iter().map(|order| order.cuts).sum()))
}
