//! Compiles the published contract with protox, so that nobody has to install protoc.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// The files of the contract, whose comments are published too.
const CONTRACT: [&str; 4] = [
    "ram/tag/v1/tag_service.proto",
    "ram/tag/v1/change_service.proto",
    "ram/user/v1/user.proto",
    "ram/user/v1/user_service.proto",
];
/// The contract of the standard health service.
const HEALTH: &str = "grpc/health/v1/health.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).open_files(CONTRACT)?;
    let contract = compiler.encode_file_descriptor_set();
    let mut files = FileDescriptorSet::decode(contract.as_slice())?;

    // What it imports from elsewhere, without comments: they are most of the bytes, and nobody asks this service for them.
    let imports = files.file.iter().flat_map(|file| &file.dependency);
    let imports = imports.filter(|name| !CONTRACT.contains(&name.as_str()));
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_files(imports)?;
    let imported = compiler.encode_file_descriptor_set();

    // Reflection serves these bytes: only the compiler's own encoding keeps the buf.validate options. Two sets, one behind the
    // other, are one.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = out.join("contract_descriptor.binpb");
    fs::write(descriptors, [contract.as_slice(), &imported].concat())?;
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).open_file(HEALTH)?;
    let health = compiler.encode_file_descriptor_set();
    fs::write(out.join("health_descriptor.binpb"), &health)?;

    // No Rust code is wanted for what is imported. That of Google's own types is in prost-types, and only their fields are asked for.
    let imported = FileDescriptorSet::decode(imported.as_slice())?.file;
    let is_googles = |file: &FileDescriptorProto| file.package() == "google.protobuf";
    files.file.extend(imported.into_iter().filter(is_googles));
    for files in [files, FileDescriptorSet::decode(health.as_slice())?] {
        tonic_prost_build::configure()
            .build_transport(false)
            .codec_path("crate::grpc::codec::MessageCodec")
            .compile_fds(files)?;
    }
    Ok(())
}
