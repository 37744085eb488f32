//! How many requests a second the service takes, against two baselines in the same run:
//! an empty handler (what gRPC itself costs) and a commit for each request (what group commit gains).
//!
//! With `-- --postgres` the store in PostgreSQL is measured beside the embedded one, and another build
//! (`-- --against PROGRAM`) on both; with `-- --postgres --limit` also pgbench, which does the same work by hand.
//!
//! `cargo bench --bench throughput` measures every workload, `-- --quick` one of them in under four minutes;
//! `-- --help` has the other choices. The servers take turns in short slices, so that what else the machine does hits
//! all of them, and the ratios are what to read. The load is closed-loop: a caller sends its next request when it has
//! the answer to the last, so latencies are those of a service under full load.

mod arguments;
mod by_hand;
mod call;
mod empty;
mod encoding;
mod kind;
mod load;
mod machine;
mod measure;
mod names;
mod plot;
mod population;
mod postgres;
mod process;
mod program;
mod refill;
mod report;
mod scenario;
mod server;
mod tally;
mod verify;
mod workload;

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use serde_json::Value;

use arguments::Arguments;
use machine::Machine;
use population::{Population, Shared};
use report::Report;

/// What a harness without a recovery does with an error: it ends and says why.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some(empty::ARGUMENT) {
        empty::serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    if let Some(path) = &arguments.draw {
        draw(&serde_json::from_slice(&fs::read(path)?)?, path)?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = arguments.plan();
    encoding::check_encoding()?;

    // Beside the build and not in /tmp, which may be memory: a commit has to reach a disk.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Open to others, since PostgreSQL runs as a user of its own when this runs as root.
    let open = Permissions::from_mode(0o755);
    let new_directory = || {
        let mut builder = tempfile::Builder::new();
        builder.permissions(open.clone()).tempdir_in(target)
    };
    let machine = Machine::look(new_directory()?.path())?;
    machine.print(plan.first().map_or(&[], |scenario| &scenario.servers));
    let mut report = Report {
        machine,
        bulk: Vec::new(),
        scenarios: Vec::new(),
    };
    for &users in &arguments.population {
        let directory = new_directory()?;
        let shared = Shared {
            settings: &arguments.postgres_setting,
            flags: &arguments.postgres_flag,
            other: arguments.against.as_deref(),
        };
        let shared = arguments.postgres.then_some(&shared);
        let population = Population::import(users, arguments.accounts(), directory.path(), shared)?;
        for scenario in &plan {
            let finished = measure::run(scenario, &population, directory.path())?;
            report.scenarios.push(finished);
        }
        report.bulk.push(population.bulk);
    }

    report.print();
    let path = target.parent().unwrap_or(target).join("throughput.json");
    let json = serde_json::to_value(&report)?;
    fs::write(&path, serde_json::to_vec_pretty(&json)?)?;
    println!("\nthe same as JSON: target/throughput.json");
    draw(&json, &path)?;
    if report.failed() > 0 {
        println!(
            "{} requests were not answered with OK: do not trust the numbers",
            report.failed()
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Draws a report beside its file, where it has something to draw.
fn draw(report: &Value, path: &Path) -> Outcome<()> {
    if let Some(plot) = plot::draw(report) {
        let path = path.with_extension("svg");
        fs::write(&path, plot)?;
        println!("drawn: {}", path.display());
    }
    Ok(())
}
