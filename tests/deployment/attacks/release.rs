//! The program as it is in the image: a release build.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

/// Builds the program of the image once, which tests/deployment/image.rs shares; or the one that `UNTAG_ATTACK_PROGRAM` names.
pub fn program() -> PathBuf {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(program) = std::env::var_os("UNTAG_ATTACK_PROGRAM") {
            return program.into();
        }
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut image = Command::new(root.join("scripts/image"));
        image.arg("root");
        // What cargo tells tests about their package: with it the dependencies would all be built again.
        for (name, _) in std::env::vars() {
            let is_cargos = ["CARGO_PKG_", "CARGO_MANIFEST_"];
            if name == "OUT_DIR" || is_cargos.iter().any(|own| name.starts_with(own)) {
                image.env_remove(name);
            }
        }
        let status = image.status().expect("scripts/image runs");
        assert!(status.success(), "scripts/image root: {status}");
        root.join("target/image/root/untag")
    });
    PROGRAM.clone()
}
