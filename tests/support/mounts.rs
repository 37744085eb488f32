//! Disks that only one service sees, in a mount namespace that ends with it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{untag, wrapper};

/// A command that runs the shell lines `prepare` in a mount namespace of its own, and then `untag` with the arguments
/// that are added. In the lines `$0` is the directory and `$1` the program.
pub fn in_own_mounts(directory: &Path, prepare: &str) -> Command {
    // Root may mount; anybody else may in a user namespace, where the kernel lets them.
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let works = |way: &&[&str]| {
        let tried = Command::new("unshare")
            .args(*way)
            .arg("true")
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let way = ways.into_iter().find(works).expect(
        "this test mounts a small disk with unshare (util-linux): run it as root (in a container with CAP_SYS_ADMIN), or allow \
         user namespaces",
    );
    let program = untag();
    let mut command = wrapper("unshare", &program);
    command
        .args(way)
        .args(["sh", "-ec", &format!("{prepare}\nexec \"$@\"")]);
    command.arg(directory).arg(program.get_program());
    command
}
