//! The loss of power: the program runs on a disk that is recorded, and each of many images of what the disk could hold at some
//! moment is opened by the program, and compared with what was answered until then.

mod audience;
mod audit;
mod callers;
mod clients;
mod commands;
mod images;
mod served;

use served::Setup;
use tempfile::TempDir;
use untag_power_loss::{Disk, Mounted};

/// Mounts a disk on a new directory.
fn mount(disk: &Disk) -> (Mounted, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mounted = disk.mount(directory.path());
    let mounted = mounted.expect(
        "this test mounts a file system over FUSE: run it as root, where there is /dev/fuse (in a container with --device /dev/fuse \
         and CAP_SYS_ADMIN)",
    );
    (mounted, directory)
}

#[test]
fn power_loss_keeps_every_answered_change_and_its_audit_line_and_halves_none() {
    images::examine("a service that keeps its history", 3, |seed| {
        served::record(Setup::Keeping, seed)
    });
}

#[test]
fn power_loss_keeps_what_a_service_that_forgets_its_history_has_answered() {
    images::examine("a service that forgets its history", 5, |seed| {
        served::record(Setup::Forgetting, seed)
    });
}

#[test]
fn power_loss_leaves_of_an_import_and_an_export_all_or_nothing() {
    images::examine("imports and exports", 5, commands::import);
}

#[test]
fn power_loss_leaves_of_a_migration_a_version_that_goes_on() {
    images::examine("a migration", 10, commands::migrate);
}
