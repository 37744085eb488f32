//! Compiles the published contract with protox, so that nobody has to install protoc.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;

const CONTRACT: &str = "ram/tag/v1/tag_service.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_file(CONTRACT)?;

    // Reflection serves these bytes: only the compiler's own encoding keeps the buf.validate options.
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("tag_service_descriptor.binpb");
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(descriptors, &encoded)?;

    // No Rust code is wanted for buf/validate/validate.proto.
    let mut files = prost_types::FileDescriptorSet::decode(encoded.as_slice())?;
    files.file.retain(|file| file.name() == CONTRACT);
    tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::grpc::codec::MessageCodec")
        .compile_fds(files)?;
    Ok(())
}
