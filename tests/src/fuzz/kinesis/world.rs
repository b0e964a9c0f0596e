//! A server in a simulated machine, and its Kinesis door without a socket.

use std::convert::Infallible;
use std::sync::Arc;

use anabranch_engine::settings::QuotaProfile;
use anabranch_engine::{Durability, Engine};
use anabranch_server::aws::arn::Owner;
use anabranch_server::credentials::Credentials;
use anabranch_server::kinesis::Door;
use anabranch_server::ops::{Ops, OpsOptions};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codegen::Service;

use super::requests::foundation;
use crate::support;

/// A body as clients send it.
pub(super) type Sent = BoxBody<Bytes, Infallible>;

/// An answer as it is received. Of one without an end the part that came at once.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A server with two streams, some records, and a consumer. A seed decides all it does.
pub(super) struct World {
    runtime: Runtime,
    door: Door,
    engine: Engine,
    ops: Arc<Ops>,
    /// A shard iterator that is good here.
    pub(super) iterator: String,
}

impl World {
    /// One where nobody has to sign in.
    pub(super) fn new() -> World {
        let mut world = World::empty(Credentials::none());
        for (operation, members) in foundation() {
            let body = members.to_string();
            let answer = world.ask(super::request(operation, body));
            assert_eq!(answer.status, 200, "{operation}: {:?}", answer.body);
        }
        let start =
            r#"{"StreamName": "orders", "ShardId": "0", "ShardIteratorType": "TRIM_HORIZON"}"#;
        let answer = world.ask(super::request("GetShardIterator", start.to_owned()));
        let reply: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let iterator = reply["ShardIterator"].as_str();
        iterator.expect("the stream is there").clone_into(&mut world.iterator);
        world
    }

    /// One where somebody has to, and nobody can.
    pub(super) fn guarded() -> World {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), CREDENTIALS).unwrap();
        World::empty(Credentials::open(file.path()).unwrap())
    }

    fn empty(credentials: Credentials) -> World {
        let engine = support::World::new(1).open().unwrap();
        engine.start();
        let options = OpsOptions {
            owner: Owner::default(),
            durability: Durability::Fsync,
            quotas: QuotaProfile::Open,
            has_control_delays: false,
            credentials: Arc::new(credentials),
            request_bytes_max: 128 << 20,
        };
        let ops = Ops::new(engine.clone(), options);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let door = Door::new(Arc::clone(&ops));
        World { runtime, door, engine, ops, iterator: String::new() }
    }

    /// Sends a request.
    pub(super) fn ask(&mut self, request: Request<Sent>) -> Answer {
        let World { runtime, door, .. } = self;
        runtime.block_on(async {
            let Ok(response) = Service::call(door, request).await;
            received(response).await
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.ops.begin_shutdown();
        // It has failed already if this does.
        let _ = self.engine.shut_down();
    }
}

const CREDENTIALS: &str = r#"
[[credential]]
name = "somebody"
access_key = "AKIDEXAMPLE"
secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
"#;

async fn received(response: Response<Body>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let mut bytes = BytesMut::new();
    let is_whole = parts.headers.contains_key("content-length");
    loop {
        let frame = match is_whole {
            true => body.frame().await,
            // A subscription has events as long as there are records.
            false => body.frame().now_or_never().flatten(),
        };
        let Some(frame) = frame else { break };
        let frame = frame.expect("a body of ours does not break off");
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Answer { status: parts.status.as_u16(), headers: parts.headers, body: bytes.freeze() }
}
