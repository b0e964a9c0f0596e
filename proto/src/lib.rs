//! The `anabranch.v1` gRPC API: the types and stubs generated from `proto/anabranch/v1`.
//!
//! No logic lives here. The descriptor set is what server reflection answers with, and what
//! tools such as grpcurl read.

#![forbid(unsafe_code)]

/// Version 1 of the API.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("anabranch.v1");
}

/// The encoded `FileDescriptorSet` of all .proto files.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/anabranch.v1.bin"));
