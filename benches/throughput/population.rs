//! The users in the store: made up, imported once, copied for each server.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Serialize;

use crate::Outcome;
use crate::names::{Accounts, KEYS, id, key, principal_name, value};
use crate::postgres::Postgres;
use crate::program::{clean, untag};

/// How fast users came into a store and out of it again.
#[derive(Serialize)]
pub struct Bulk {
    store: &'static str,
    users: u32,
    import_users_per_second: f64,
    export_users_per_second: f64,
}

/// The variable that names a store to `untag`, and its value: a connection string is not for the list of processes.
pub type Store<'a> = (&'static str, &'a OsStr);

/// What is wanted of PostgreSQL.
pub struct Shared<'run> {
    /// More lines of its configuration.
    pub settings: &'run [String],
    /// More flags of this build on it.
    pub flags: &'run [String],
    /// Another build that is measured on it.
    pub other: Option<&'run Path>,
}

/// A data directory with users, which is never served itself, and a PostgreSQL with the same ones.
pub struct Population {
    pub users: u32,
    accounts: Accounts,
    pub bulk: Vec<Bulk>,
    /// More flags of this build on PostgreSQL.
    pub postgres_flags: Vec<String>,
    directory: PathBuf,
    postgres: Option<Postgres>,
}

impl Population {
    /// Imports this many users with `untag import`, into PostgreSQL as well where that is wanted, and there with another build too.
    pub fn import(
        users: u32,
        accounts: Accounts,
        directory: &Path,
        shared: Option<&Shared<'_>>,
    ) -> Outcome<Self> {
        let data = directory.join("imported");
        let mut bulk = vec![measure(
            "sqlite",
            ("UNTAG_DATA_DIR", data.as_os_str()),
            users,
            accounts,
        )?];
        let start = |shared: &Shared<'_>| Postgres::start(directory, shared.settings);
        let postgres = shared.map(start).transpose()?;
        if let Some((postgres, shared)) = postgres.as_ref().zip(shared) {
            let url = postgres.imported();
            let store = ("UNTAG_STORE", url.as_ref());
            bulk.push(measure("postgres", store, users, accounts)?);
            if let Some(other) = shared.other {
                let url = postgres.other(clean(other))?;
                import(clean(other), ("UNTAG_STORE", url.as_ref()), users, accounts)?;
            }
            postgres.vacuum();
        }
        Ok(Self {
            users,
            accounts,
            bulk,
            postgres_flags: shared.map_or_else(Vec::new, |shared| shared.flags.to_vec()),
            directory: data,
            postgres,
        })
    }

    /// The cluster, which is there when a server needs it.
    pub fn postgres(&self) -> Outcome<&Postgres> {
        Ok(self.postgres.as_ref().ok_or("no PostgreSQL was started")?)
    }

    /// Imports the same users for another build, whose files may be of another version.
    pub fn import_with(&self, program: &Path, directory: &Path) -> Outcome<()> {
        import(
            clean(program),
            ("UNTAG_DATA_DIR", directory.as_os_str()),
            self.users,
            self.accounts,
        )
    }

    /// Copies the data directory for a server, and waits until the copy is on the disk.
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

/// Imports the users and exports them again.
fn measure(name: &'static str, store: Store<'_>, users: u32, accounts: Accounts) -> Outcome<Bulk> {
    let started = Instant::now();
    import(untag(), store, users, accounts)?;
    let imported = started.elapsed().as_secs_f64();
    let started = Instant::now();
    export(store)?;
    let exported = started.elapsed().as_secs_f64();
    let bulk = Bulk {
        store: name,
        users,
        import_users_per_second: f64::from(users) / imported,
        export_users_per_second: f64::from(users) / exported,
    };
    println!(
        "{name}: imported {} users with {KEYS} tags each in {imported:.1} s ({:.0} users/s), exported them in {exported:.1} s ({:.0} users/s)",
        count(users),
        bulk.import_users_per_second,
        bulk.export_users_per_second,
    );
    Ok(bulk)
}

fn import(
    mut program: Command,
    (variable, store): Store<'_>,
    users: u32,
    accounts: Accounts,
) -> Outcome<()> {
    let mut import = program
        .args(["import", "-"])
        .env(variable, store)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let tags: Vec<_> = (0..KEYS)
        .map(|number| format!(r#""{}":"{}""#, key(number), value(number)))
        .collect();
    let tags = tags.join(",");
    let accounts = accounts.ids().collect::<Vec<_>>();
    if let Some(stdin) = import.stdin.take() {
        let mut lines = BufWriter::with_capacity(1 << 20, stdin);
        for (user, account) in (0..users).zip(accounts.iter().cycle()) {
            writeln!(
                lines,
                r#"{{"account_id":"{account}","resource_type":"user","resource_id":"{}","principal_name":"{}","tags":{{{tags}}}}}"#,
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
    Ok(())
}

fn export((variable, store): Store<'_>) -> Outcome<()> {
    let exported = untag()
        .args(["export", "-"])
        .env(variable, store)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    if !exported.status.success() {
        let error = String::from_utf8_lossy(&exported.stderr);
        return Err(format!("untag export: {error}").into());
    }
    Ok(())
}

/// A number of users, in short.
pub fn count(users: u32) -> String {
    match users {
        _ if users.is_multiple_of(1_000_000) => format!("{}M", users / 1_000_000),
        _ if users.is_multiple_of(1_000) => format!("{}k", users / 1_000),
        _ => users.to_string(),
    }
}
