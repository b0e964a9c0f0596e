//! A server in this process, on a simulated disk and with a clock that is moved by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use anabranch_engine::Environment;
use anabranch_engine::clock::ManualClock;
use anabranch_engine::fs::SimFs;
use anabranch_server::config::Config;
use anabranch_server::serve::{RunningServer, start_in};

use super::rpc::{Stub, connect};
use anabranch_tests::support::{START_MS, Seeded};

pub(crate) struct Machine {
    pub(crate) disk: SimFs,
    pub(crate) clock: Arc<ManualClock>,
    server: RunningServer,
}

impl Machine {
    pub(crate) async fn start(seed: u64) -> Machine {
        let clock = Arc::new(ManualClock::new(START_MS));
        Machine::start_on(SimFs::new(seed), clock).await
    }

    async fn start_on(disk: SimFs, clock: Arc<ManualClock>) -> Machine {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { listen: any, admin_listen: any, ..Config::new("/data") };
        let environment = Environment {
            fs: Arc::new(disk.clone()),
            clock: clock.clone(),
            entropy: Arc::new(Seeded::new(1)),
        };
        let server = start_in(&config, environment).await.unwrap();
        Machine { disk, clock, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) async fn connect(&self) -> Stub {
        connect(self.server.address()).await
    }

    /// Stops the server and starts another one on the same disk.
    pub(crate) async fn restart(self) -> Machine {
        self.server.shut_down().await.unwrap();
        Machine::start_on(self.disk, self.clock).await
    }

    pub(crate) async fn stop(self) {
        self.server.shut_down().await.unwrap();
    }
}
