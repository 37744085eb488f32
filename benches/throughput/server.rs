//! A server under load: a process of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::kind::{Kind, Program};
use crate::names::ACCOUNT;
use crate::population::{Population, Store};
use crate::postgres::Postgres;
use crate::process::Memory;
use crate::program::{clean, untag};
use crate::tally::Tally;
use crate::{Outcome, empty, process};

/// The functions that pgbench calls.
const BY_HAND: &str = include_str!("by_hand.sql");
/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that runs; killed when it goes out of scope.
pub struct Server {
    pub kind: &'static Kind,
    pub address: SocketAddr,
    /// The tally of the server's tags, where it has a store.
    pub tally: Option<Arc<Tally>>,
    /// The time from the start until the server said that it was ready; not known of the empty handler.
    pub ready_after: Option<Duration>,
    /// The process of the database that works for the server, where there is one.
    postmaster: Option<u32>,
    /// The server's own process, but where pgbench asks the database itself.
    child: Option<Child>,
    /// The connection string of its store, where pgbench asks that.
    pub database: Option<String>,
}

impl Server {
    /// Starts a server, with a copy of the users below `directory` where it needs them, and waits until it is ready.
    pub fn start(
        kind: &'static Kind,
        tally: Tally,
        population: &Population,
        directory: &Path,
    ) -> Outcome<Self> {
        let directory = directory.join(kind.name);
        let data = directory.join("data");
        let embedded = ("UNTAG_DATA_DIR", data.as_os_str());
        match &kind.program {
            Program::Empty => Self::start_empty(kind),
            Program::Build(path) => {
                population.import_with(path, &data)?;
                Self::start_untag(kind, clean(path), &[], embedded, tally, &directory)
            }
            Program::Untag(flags) => {
                population.copy_to(&data)?;
                Self::start_untag(kind, untag(), flags, embedded, tally, &directory)
            }
            Program::ByHand => Self::prepare_by_hand(kind, population.postgres()?),
            Program::Postgres(other) => {
                let postgres = population.postgres()?;
                let url = match other {
                    None => postgres.copy_for(kind.name),
                    Some(_) => postgres.copy_for_other(kind.name),
                };
                let store = ("UNTAG_STORE", OsStr::new(&url));
                let program = other.as_deref().map_or_else(untag, clean);
                let flags = population.postgres_flags.iter().map(String::as_str);
                let flags: Vec<&str> = flags.filter(|_| other.is_none()).collect();
                let mut server =
                    Self::start_untag(kind, program, &flags, store, tally, &directory)?;
                server.postmaster = Some(postgres.postmaster()?);
                Ok(server)
            }
        }
    }

    fn prepare_by_hand(kind: &'static Kind, postgres: &Postgres) -> Outcome<Self> {
        let database = Some(postgres.copy_for(kind.name));
        postgres.sql(kind.name, BY_HAND);
        Ok(Self {
            kind,
            address: ([0; 4], 0).into(),
            tally: None,
            ready_after: None,
            postmaster: Some(postgres.postmaster()?),
            child: None,
            database,
        })
    }

    fn start_empty(kind: &'static Kind) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(empty::ARGUMENT)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut server = Self {
            kind,
            address: ([0; 4], 0).into(),
            tally: None,
            ready_after: None,
            postmaster: None,
            child: Some(child),
            database: None,
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        server.address = line.trim().parse()?;
        Ok(server)
    }

    fn start_untag(
        kind: &'static Kind,
        mut program: Command,
        flags: &[&str],
        (variable, store): Store<'_>,
        tally: Tally,
        directory: &Path,
    ) -> Outcome<Self> {
        fs::create_dir_all(directory)?;
        let log = directory.join("stderr.log");
        // The start is not to wait for what was copied, or deleted after the last scenario.
        flush(directory)?;
        let started = Instant::now();
        let child = program
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--default-account", ACCOUNT])
            .args(flags)
            .env(variable, store)
            .stdin(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut server = Self {
            kind,
            address: ([0; 4], 0).into(),
            tally: Some(Arc::new(tally)),
            ready_after: None,
            postmaster: None,
            child: Some(child),
            database: None,
        };
        server.address = server.wait_until_ready(&log)?;
        server.ready_after = Some(started.elapsed());
        Ok(server)
    }

    /// Reads the log until it says where the service listens and that it is ready.
    fn wait_until_ready(&mut self, log: &Path) -> Outcome<SocketAddr> {
        let deadline = Instant::now() + PATIENCE;
        let is_running = |child: &mut Option<Child>| {
            let child = child.as_mut();
            child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
        };
        while Instant::now() < deadline && is_running(&mut self.child) {
            let text = fs::read_to_string(log)?;
            let lines = || {
                text.lines()
                    .filter_map(|line| serde_json::from_str(line).ok())
            };
            let said = |message| {
                move |line: &serde_json::Value| {
                    line["message"] == message && line["port"] != "admin"
                }
            };
            let ready = lines().any(|line| said("ready")(&line));
            let listening = lines().find(said("listening"));
            if let Some(address) = listening.as_ref().and_then(|line| line["address"].as_str())
                && ready
            {
                return Ok(address.parse()?);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(format!(
            "{} is not ready: {}",
            self.kind.name,
            fs::read_to_string(log)?
        )
        .into())
    }

    /// The process of the server, if it has one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The processor time of the server and of its database.
    pub fn cpu_seconds(&self) -> Outcome<f64> {
        let own = self.pid().map(process::cpu_seconds).transpose()?;
        let database = self.postmaster.map(process::cpu_seconds_of_family);
        Ok(own.unwrap_or_default() + database.transpose()?.unwrap_or_default())
    }

    /// The memory of the server, in MiB; none where it has no process.
    pub fn memory(&self) -> Outcome<Memory> {
        let memory = self.pid().map(process::memory).transpose()?;
        Ok(memory.unwrap_or_default())
    }

    /// How many bytes the server has read, from the disk or from the system's cache.
    pub fn bytes_read(&self) -> Outcome<u64> {
        let bytes = self.pid().map(process::bytes_read).transpose()?;
        Ok(bytes.unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until all that was written to a directory's file system is on the disk.
pub fn flush(directory: &Path) -> Outcome<()> {
    let status = Command::new("sync").arg("-f").arg(directory).status()?;
    if !status.success() {
        return Err(format!("sync: {status}").into());
    }
    Ok(())
}
