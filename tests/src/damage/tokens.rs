//! Shard iterators, changed in every byte: none is taken, and the true one is good after a
//! restart.

use anabranch_engine::{Engine, StreamSettings};
use anabranch_proto::v1::{GetRecordsRequest, GetShardIteratorRequest, ShardIteratorType};
use anabranch_server::aws::arn::Owner;
use anabranch_server::credentials::Credentials;
use anabranch_server::ops::{Caller, Kind, Ops, OpsOptions};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

use super::{Tally, in_parallel};
use crate::support::{World, name, put_now};

/// Bytes of the streams' names: the shortest and the longest token, and one in between.
const NAMES: [usize; 3] = [1, 60, 128];

/// What came of it.
#[derive(Default)]
pub struct Tokens {
    /// Tokens in which one byte was changed, or that were cut or grown.
    pub forged: Tally,
    /// Good tokens, before and after a restart, and with the key of another server.
    pub good: Tally,
}

/// A server without a door.
struct Server {
    engine: Engine,
    ops: Arc<Ops>,
    runtime: Runtime,
}

impl Server {
    fn open(world: &World) -> Server {
        let engine = world.open().expect("a sound disk opens");
        let options = OpsOptions {
            owner: Owner::default(),
            durability: world.durability,
            quotas: anabranch_engine::settings::QuotaProfile::Open,
            has_control_delays: false,
            request_bytes_max: 1 << 20,
            credentials: Arc::new(Credentials::none()),
        };
        let ops = Ops::new(engine.clone(), options);
        let runtime = Builder::new_multi_thread().worker_threads(1).build();
        Server { engine, ops, runtime: runtime.expect("a thread can be started") }
    }

    fn iterator(&self, stream_name: &str) -> String {
        let request = GetShardIteratorRequest {
            stream_name: stream_name.to_owned(),
            shard_id: "0".to_owned(),
            shard_iterator_type: ShardIteratorType::TrimHorizon.into(),
            ..GetShardIteratorRequest::default()
        };
        let reply = self.runtime.block_on(self.ops.call(&Caller::anonymous(), request));
        reply.expect("the stream is there").shard_iterator
    }

    /// How many records the token gives, or why it is refused.
    fn read(&self, token: String) -> Result<usize, Kind> {
        let request = GetRecordsRequest { shard_iterator: token, ..GetRecordsRequest::default() };
        let page = self.runtime.block_on(self.ops.call(&Caller::anonymous(), request));
        page.map(|page| page.page.records).map_err(|error| error.kind)
    }
}

/// Changes every `stride`th of all bytes to each of the 255 others.
pub fn run(stride: u64, progress: &(dyn Fn(u64) + Sync)) -> Tokens {
    let world = World::new(23);
    let names = NAMES.map(|len| "n".repeat(len));
    let server = Server::open(&world);
    for text in &names {
        let stream = server
            .engine
            .create_stream(&name(text), 1, StreamSettings::default())
            .expect("there is room");
        put_now(&server.engine, &stream.shards()[0], &[b"record"]).expect("there is room");
    }
    let tokens: Vec<String> = names.iter().map(|name| server.iterator(name)).collect();
    let out = Tokens::default();
    let is_good = |server: &Server, when: &str| {
        for token in &tokens {
            let read = server.read(token.clone());
            out.good.case();
            out.good.expect(read == Ok(1), || format!("{when}: {read:?} for {token}"));
        }
    };
    is_good(&server, "at once");
    for token in &tokens {
        let places = token.len() as u64;
        in_parallel(
            places.div_ceil(stride),
            || out.forged.is_enough(),
            || (),
            |(), round| {
                let at = (round * stride) as usize;
                forge(&server, token, at, &out.forged);
                progress(1);
            },
        );
    }
    server.engine.shut_down().expect("nothing fails");
    drop(server);
    let server = Server::open(&world.with(world.fs.kill()));
    is_good(&server, "after a restart");
    drop(server);
    // Another server has another secret, whatever its streams are called.
    let other = World::new(24);
    let server = Server::open(&other);
    for (text, token) in names.iter().zip(&tokens) {
        server
            .engine
            .create_stream(&name(text), 1, StreamSettings::default())
            .expect("there is room");
        let read = server.read(token.clone());
        out.good.case();
        out.good.expect(read == Err(Kind::InvalidArgument), || format!("elsewhere: {read:?}"));
    }
    out
}

/// All that one byte can be changed to, and the token cut and grown there.
fn forge(server: &Server, token: &str, at: usize, tally: &Tally) {
    let refused = |forged: Vec<u8>| {
        tally.case();
        // A protobuf string is UTF-8, so that others do not come this far.
        let Ok(forged) = String::from_utf8(forged) else { return };
        let read = server.read(forged.clone());
        tally.expect(read == Err(Kind::InvalidArgument), || format!("{read:?} for {forged}"));
    };
    for change in 1..=255u8 {
        let mut forged = token.as_bytes().to_vec();
        forged[at] ^= change;
        refused(forged);
    }
    refused(token.as_bytes()[..at].to_vec());
    let (front, behind) = token.as_bytes().split_at(at);
    refused([front, b"A", behind].concat());
    refused([front, &behind[1..]].concat());
}
