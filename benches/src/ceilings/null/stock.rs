//! Doing nothing with tonic and prost as they come.

use std::pin::Pin;

use anabranch_proto::v1::{
    ProduceRequest, ProduceResponse, PutRecordRequest, PutRecordResponse, PutRecordsRequest,
    PutRecordsResponse, SubscribeToShardEvent, SubscribeToShardRequest,
};
use anyhow::Result;
use futures_util::{Stream, StreamExt, stream};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Stubs of the routes.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub(in super::super) mod stubs {
    include!(concat!(env!("OUT_DIR"), "/anabranch.v1.Streams.rs"));
}

use stubs::streams_server::{Streams, StreamsServer};

/// Records of an event that is pushed.
const EVENT_RECORDS: usize = 100;

struct Null;

pub(super) async fn serve() -> Result<()> {
    // Without it each window update waits for an acknowledgement of the one before.
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?.with_nodelay(Some(true));
    super::tell(incoming.local_addr()?)?;
    let service = StreamsServer::new(Null).max_decoding_message_size(16 << 20);
    Ok(Server::builder().add_service(service).serve_with_incoming(incoming).await?)
}

#[tonic::async_trait]
impl Streams for Null {
    async fn put_record(
        &self,
        _: Request<PutRecordRequest>,
    ) -> Result<Response<PutRecordResponse>, Status> {
        Ok(Response::new(super::put_answer()))
    }

    async fn put_records(
        &self,
        request: Request<PutRecordsRequest>,
    ) -> Result<Response<PutRecordsResponse>, Status> {
        Ok(Response::new(super::put_records_answer(request.get_ref().records.len())))
    }

    async fn swallow(
        &self,
        request: Request<Streaming<ProduceRequest>>,
    ) -> Result<Response<ProduceResponse>, Status> {
        let mut batches = request.into_inner();
        while batches.message().await?.is_some() {}
        Ok(Response::new(super::produce_answer(1)))
    }

    type SubscribeToShardStream =
        Pin<Box<dyn Stream<Item = Result<SubscribeToShardEvent, Status>> + Send>>;

    async fn subscribe_to_shard(
        &self,
        _: Request<SubscribeToShardRequest>,
    ) -> Result<Response<Self::SubscribeToShardStream>, Status> {
        let event = super::event(EVENT_RECORDS);
        Ok(Response::new(stream::repeat(event).map(Ok).boxed()))
    }
}
