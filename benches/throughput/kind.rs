//! The servers that are measured, as data.

use std::path::{Path, PathBuf};

/// The program of a server.
pub enum Program {
    /// `untag serve` on a copy of the users, with these flags beside those that it needs.
    Untag(&'static [&'static str]),
    /// Another build of `untag`, run as the first is.
    Build(PathBuf),
    /// `untag serve` on a copy of the users in PostgreSQL; another build of it where there is a path.
    Postgres(Option<PathBuf>),
    /// pgbench with statements written by hand, on a copy of the users in PostgreSQL.
    ByHand,
    /// The empty handler.
    Empty,
}

impl Program {
    /// Whether it works on PostgreSQL.
    pub fn is_on_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::ByHand)
    }
}

/// A server to measure.
pub struct Kind {
    pub name: &'static str,
    pub what: &'static str,
    pub program: Program,
    /// How many decimals the ratio to this server is printed with.
    pub decimals: usize,
}

/// The servers of every run. The first is the one that the others are compared with.
const SERVERS: &[Kind] = &[
    Kind {
        name: "durable",
        what: "untag serve with its defaults, but no limit on a caller's rate; stderr, the request log in JSON, goes to a file",
        program: Program::Untag(&[]),
        decimals: 2,
    },
    Kind {
        name: "empty",
        what: "a tonic handler that answers with an empty message: no store, no log",
        program: Program::Empty,
        decimals: 2,
    },
    Kind {
        name: "commit-each",
        what: "as durable, but with a commit for each request",
        program: Program::Untag(&["--commit-batch", "1"]),
        decimals: 1,
    },
];

/// The server of a run with `--postgres`.
const POSTGRES: &Kind = &Kind {
    name: "postgres",
    what: "as durable, but on PostgreSQL with its default settings; its processes are in the CPU and not in the memory",
    program: Program::Postgres(None),
    decimals: 2,
};

/// The server of a run with `--limit`.
const BY_HAND: &Kind = &Kind {
    name: "by-hand",
    what: "pgbench on the same PostgreSQL, with the same work and its change log in small functions written by hand",
    program: Program::ByHand,
    decimals: 2,
};

/// The servers of a run: those of every run, PostgreSQL where it is wanted with what bounds it, and another build where there is
/// one, on every store of the run.
pub fn servers(postgres: bool, limit: bool, other_build: Option<&Path>) -> Vec<&'static Kind> {
    let other = |name, what, program| {
        // Once a run, which it outlives.
        &*Box::leak(Box::new(Kind {
            name,
            what,
            program,
            decimals: 2,
        }))
    };
    let embedded = other_build.map(|path| {
        let what = "as durable, but the program that --against names";
        other("other-build", what, Program::Build(path.to_path_buf()))
    });
    let shared = other_build.filter(|_| postgres).map(|path| {
        let what = "as postgres, but the program that --against names";
        let program = Program::Postgres(Some(path.to_path_buf()));
        other("other-postgres", what, program)
    });
    let postgres = postgres.then_some(POSTGRES);
    let limit = limit.then_some(BY_HAND);
    let more = postgres
        .into_iter()
        .chain(limit)
        .chain(embedded)
        .chain(shared);
    SERVERS.iter().chain(more).collect()
}
