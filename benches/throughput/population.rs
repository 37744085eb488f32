//! The users in the store: made up, imported once, copied for each server.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use crate::Outcome;
use crate::server::untag;

/// The account of all of them.
pub const ACCOUNT: &str = "1000000000000001";
/// How many tags each has, which is as many as a user may have.
pub const KEYS: usize = 20;

/// The id of a user by its number: 16 digits, as real ones have.
pub fn id(user: u32) -> String {
    (2_000_000_000_000_000 + u64::from(user)).to_string()
}

/// The principal name of a user by its number.
pub fn principal_name(user: u32) -> String {
    format!("user-{user:08}@benchmark.onaliyun.com")
}

/// A tag key by its number, in order.
pub fn key(number: usize) -> String {
    format!("k{number:02}")
}

/// A data directory with users, which is never served itself.
pub struct Population {
    pub users: u32,
    directory: PathBuf,
}

impl Population {
    /// Has `untag import` read this many users.
    pub fn import(users: u32, directory: &Path) -> Outcome<Self> {
        let started = Instant::now();
        let mut import = untag()
            .arg("import")
            .arg("--data-dir")
            .arg(directory)
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let tags: Vec<_> = (0..KEYS)
            .map(|number| format!(r#""{0}":"value of {0}""#, key(number)))
            .collect();
        let tags = tags.join(",");
        if let Some(stdin) = import.stdin.take() {
            let mut lines = BufWriter::with_capacity(1 << 20, stdin);
            for user in 0..users {
                writeln!(
                    lines,
                    r#"{{"account_id":"{ACCOUNT}","resource_type":"user","resource_id":"{}","principal_name":"{}","tags":{{{tags}}}}}"#,
                    id(user),
                    principal_name(user),
                )?;
            }
            lines.flush()?;
        }
        let status = import.wait()?;
        if !status.success() {
            return Err(format!("untag import: {status}").into());
        }
        println!(
            "imported {} users with {KEYS} tags each in {:.1} s",
            count(users),
            started.elapsed().as_secs_f64()
        );
        Ok(Self {
            users,
            directory: directory.to_path_buf(),
        })
    }

    /// Copies it for a server, and waits until the copy is on the disk.
    pub fn copy_to(&self, directory: &Path) -> Outcome<()> {
        fs::create_dir_all(directory)?;
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let copy = directory.join(entry.file_name());
            fs::copy(entry.path(), &copy)?;
            File::open(copy)?.sync_all()?;
        }
        File::open(directory)?.sync_all()?;
        Ok(())
    }
}

/// A number of users, in short.
pub fn count(users: u32) -> String {
    match users {
        _ if users.is_multiple_of(1_000_000) => format!("{}M", users / 1_000_000),
        _ if users.is_multiple_of(1_000) => format!("{}k", users / 1_000),
        _ => users.to_string(),
    }
}
