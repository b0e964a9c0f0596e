//! Shard iterators: any text may come as one. Ours are the only ones taken.

use std::sync::{Arc, OnceLock};

use anabranch_engine::StreamSettings;
use anabranch_proto::v1::{
    GetRecordsRequest, GetShardIteratorRequest, ListShardsRequest, ShardIteratorType,
};
use anabranch_server::aws::arn::Owner;
use anabranch_server::credentials::Credentials;
use anabranch_server::ops::{Caller, Ops, OpsOptions};
use tokio::runtime::{Builder, Runtime};

use crate::support::{World, name, put_now};

struct Server {
    ops: Arc<Ops>,
    runtime: Runtime,
    token: String,
}

/// The same server in every run: its secret comes from a seed.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let world = World::new(31);
        let engine = world.open().expect("an empty disk opens");
        let stream = engine
            .create_stream(&name("orders"), 3, StreamSettings::default())
            .expect("there is room");
        put_now(&engine, &stream.shards()[0], &[b"record"]).expect("there is room");
        let options = OpsOptions {
            owner: Owner::default(),
            durability: world.durability,
            quotas: anabranch_engine::settings::QuotaProfile::Open,
            has_control_delays: false,
            request_bytes_max: 1 << 20,
            credentials: Arc::new(Credentials::none()),
        };
        let ops = Ops::new(engine, options);
        let request = GetShardIteratorRequest {
            stream_name: "orders".to_owned(),
            shard_id: "0".to_owned(),
            shard_iterator_type: ShardIteratorType::TrimHorizon.into(),
            ..GetShardIteratorRequest::default()
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.expect("a thread can be started");
        let reply = runtime.block_on(ops.call(&Caller::anonymous(), request));
        let token = reply.expect("the shard is there").shard_iterator;
        Server { ops, runtime, token }
    })
}

/// Any text as the token of a read and of a list.
pub fn run(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let server = server();
    let request =
        GetRecordsRequest { shard_iterator: token.to_owned(), ..GetRecordsRequest::default() };
    let caller = Caller::anonymous();
    let read = server.runtime.block_on(server.ops.call(&caller, request));
    // Some clients put it in double quotes, and the service takes that.
    let bare = token.strip_prefix('"').and_then(|token| token.strip_suffix('"'));
    let is_ours = bare.unwrap_or(token) == server.token;
    assert_eq!(read.is_ok(), is_ours, "{token:?}");
    let next_token = Some(token.to_owned());
    let list = ListShardsRequest { next_token, ..ListShardsRequest::default() };
    let is_listed = server.runtime.block_on(server.ops.call(&caller, list)).is_ok();
    assert!(!is_listed, "a list goes on from {token:?}");
}

/// The true one and some that are near.
pub fn seeds() -> Vec<Vec<u8>> {
    let token = server().token.clone();
    vec![
        token.clone().into_bytes(),
        format!("\"{token}\"").into_bytes(),
        token.as_bytes()[..token.len() - 4].to_vec(),
        b"AAAAAAAAAAAAAAAAAAAAAAAA".to_vec(),
    ]
}
