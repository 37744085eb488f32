//! How many requests a second the service takes, against two baselines in the same run:
//! an empty handler (what gRPC itself costs) and a commit for each request (what group commit gains).
//!
//! With `-- --postgres` the store in PostgreSQL is measured beside the embedded one.
//!
//! `cargo bench --bench throughput` measures every workload, `-- --quick` one of them in under four minutes;
//! `-- --help` has the other choices. The servers take turns in short slices, so that what else the machine does hits
//! all of them, and the ratios are what to read. The load is closed-loop: a caller sends its next request when it has
//! the answer to the last, so latencies are those of a service under full load.

mod arguments;
mod empty;
mod load;
mod measure;
mod population;
mod postgres;
mod process;
mod report;
mod server;
mod tally;
mod verify;
mod workload;

use std::error::Error;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::Arguments;
use population::Population;
use report::{Machine, Report};

/// What a harness without a recovery does with an error: it ends and says why.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some(empty::ARGUMENT) {
        empty::serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    let plan = arguments.plan();
    workload::check_encoding()?;

    // Beside the build and not in /tmp, which may be memory: a commit has to reach a disk.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Open to others, since PostgreSQL runs as a user of its own when this runs as root.
    let directory = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(target)?;
    let machine = Machine::look(directory.path())?;
    machine.print(plan.first().map_or(&[], |scenario| &scenario.servers));
    let population =
        Population::import(arguments.population, directory.path(), arguments.postgres)?;
    let scenarios = plan
        .iter()
        .map(|scenario| measure::run(scenario, &population, directory.path()))
        .collect::<Outcome<Vec<_>>>()?;

    let report = Report {
        machine,
        bulk: population.bulk,
        scenarios,
    };
    report.print();
    let path = target.parent().unwrap_or(target).join("throughput.json");
    std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    println!("\nthe same as JSON: target/throughput.json");
    if report.failed() > 0 {
        println!(
            "{} requests were not answered with OK: do not trust the numbers",
            report.failed()
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
