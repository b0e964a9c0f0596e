//! Which processor cores a server has, and which its clients.
//!
//! Where both share all of them a crowd of clients takes from the server what it needs to send
//! its load, and what is measured is the scheduler. So the server gets the first core that we may
//! use and the clients the others; a machine with one core has to do without.

use anyhow::Result;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of this thread, divided.
pub(super) struct Cores {
    all: CpuSet,
    server: CpuSet,
    clients: CpuSet,
}

impl Cores {
    /// Divides the cores; `None` where there is but one.
    pub(super) fn divide() -> Result<Option<Cores>> {
        let all = sched_getaffinity(None)?;
        let (mut server, mut clients) = (CpuSet::new(), CpuSet::new());
        for core in (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core)) {
            if server.count() == 0 { server.set(core) } else { clients.set(core) }
        }
        Ok((clients.count() > 0).then_some(Cores { all, server, clients }))
    }

    /// What this thread starts from now on, be it a process, has the server's core.
    pub(super) fn for_server(&self) -> Result<()> {
        Ok(sched_setaffinity(None, &self.server)?)
    }

    /// What this thread starts from now on has the clients' cores.
    pub(super) fn for_clients(&self) -> Result<()> {
        Ok(sched_setaffinity(None, &self.clients)?)
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        // Another check runs on this thread next. What could be set before can be set again.
        let _ = sched_setaffinity(None, &self.all);
    }
}
