//! The servers that are measured: data.

use std::path::{Path, PathBuf};

/// What runs.
pub enum Program {
    /// `untag serve` on a copy of the users, with these flags beside those that it needs.
    Untag(&'static [&'static str]),
    /// Another build of `untag`, as the first.
    Build(PathBuf),
    /// `untag serve` on a copy of the users in PostgreSQL.
    Postgres,
    /// The empty handler.
    Empty,
}

/// A server to measure.
pub struct Kind {
    pub name: &'static str,
    pub what: &'static str,
    pub program: Program,
    /// How many decimals the ratio to it is printed with.
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
    program: Program::Postgres,
    decimals: 2,
};

/// The servers of a run: those of every run, PostgreSQL where it is wanted, and another build where there is one.
pub fn servers(postgres: bool, other_build: Option<&Path>) -> Vec<&'static Kind> {
    let other = other_build.map(|path| {
        let program = Program::Build(path.to_path_buf());
        let what = "as durable, but the program that --against names";
        // Once a run, which it outlives.
        &*Box::leak(Box::new(Kind {
            name: "other-build",
            what,
            program,
            decimals: 2,
        }))
    });
    let postgres = postgres.then_some(POSTGRES);
    SERVERS.iter().chain(postgres).chain(other).collect()
}
