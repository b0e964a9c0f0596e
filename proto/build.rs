//! Compiles the .proto files with protox, so that no system protoc is needed.

use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["anabranch/v1/anabranch.proto"], ["proto"])?;
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("anabranch.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // A record's data is a view of the message it came in, not a copy of it.
        .bytes(".")
        // A server that implements some of the operations answers UNIMPLEMENTED to the others,
        // and goes on compiling when there are more.
        .generate_default_stubs(true)
        .compile_fds(descriptors)?;
    Ok(())
}
