//! A clock that is set, under a running service.

use std::fs;
use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::Service;
use super::signed::{Request, time};
use crate::support::{Server, untag};

/// The library that a process gets its time from, from Debian's package libfaketime.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    let library = libraries.find(|library| library.exists());
    library.expect("libfaketime is there: run scripts/setup")
}

#[test]
fn a_clock_that_steps_forward_and_back_lets_no_request_be_replayed() {
    let offset = NamedTempFile::new().unwrap();
    let set_clock = |by: &str| fs::write(&offset, by).unwrap();
    set_clock("+0");
    let service = Service::with(|own| {
        let directory = tempfile::tempdir().unwrap();
        let mut command = untag();
        command
            .args(["serve", "--sample-data", "--data-dir"])
            .arg(directory.path())
            .args(own)
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME_TIMESTAMP_FILE", offset.path())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        (Server::spawn(command), directory)
    });
    let request = Request::untag().sign();
    assert_eq!(request.code(&service).0, 200);
    set_clock("+3600");
    assert_eq!(request.code(&service).1, "InvalidTimeStamp.Expired");
    // One that is good an hour from now, in which the other's date has long ended.
    let later = Request::untag().header("x-acs-date", &time(3600)).sign();
    assert_eq!(later.code(&service).0, 200);
    set_clock("+0");
    assert_eq!(request.code(&service).1, "SignatureNonceUsed");
    set_clock("+3600");
    assert_eq!(later.code(&service).1, "SignatureNonceUsed");
}
