//! Generates the client from the contract without its rules, as `untag proto --plain contract` writes it. Needs protoc.

use std::env;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=CONTRACT");
    let folder = env::var("CONTRACT").unwrap_or_else(|_| "contract".to_owned());
    let contract = format!("{folder}/ram/tag/v1/tag_service.proto");
    println!("cargo::rerun-if-changed={contract}");
    tonic_prost_build::configure()
        .build_server(false)
        .compile_protos(&[contract], &[folder])?;
    Ok(())
}
