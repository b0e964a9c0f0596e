//! Generates the gRPC stubs of the reference server, from the messages of the API.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let method = |name: &str, route: &str, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("anabranch_proto::v1::{input}"))
            .output_type(format!("anabranch_proto::v1::{output}"))
            .codec_path("tonic_prost::ProstCodec")
    };
    // The routes of the API, so that one client drives both servers; and `Swallow`, which is as
    // cheap as a put over gRPC can be: a stream of batches with one answer at its end.
    let service = Service::builder()
        .name("Streams")
        .package("anabranch.v1")
        .method(method("put_record", "PutRecord", "PutRecordRequest", "PutRecordResponse").build())
        .method(
            method("put_records", "PutRecords", "PutRecordsRequest", "PutRecordsResponse").build(),
        )
        .method(
            method("swallow", "Swallow", "ProduceRequest", "ProduceResponse")
                .client_streaming()
                .build(),
        )
        .method(
            method(
                "subscribe_to_shard",
                "SubscribeToShard",
                "SubscribeToShardRequest",
                "SubscribeToShardEvent",
            )
            .server_streaming()
            .build(),
        )
        .build();
    Builder::new().compile(&[service]);
}
