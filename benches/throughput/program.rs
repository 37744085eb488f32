//! The programs that are run: `untag` of this build, and of others.

use std::path::Path;
use std::process::Command;

/// The release binary of this build, whatever the environment says.
pub fn untag() -> Command {
    clean(Path::new(env!("CARGO_BIN_EXE_untag")))
}

/// A program without what the environment says of `untag`.
pub fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("UNTAG_")) {
        command.env_remove(name);
    }
    // The load is one caller, and is to be answered in full.
    command.env("UNTAG_MAX_CALLER_RATE", "0");
    command
}
