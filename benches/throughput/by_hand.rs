//! The limit of PostgreSQL: the work of a workload in functions written by hand (`by_hand.sql`), which pgbench calls.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Outcome;
use crate::load::{Counts, SLOWEST, Window};
use crate::names::{ACCOUNT, KEYS};
use crate::postgres::program;
use crate::scenario::Scenario;
use crate::workload::Workload;

/// How many sessions pgbench has at most: as many connections as the service opens.
const SESSIONS: usize = 8;

/// How the requests in flight go to the database.
struct Shape {
    sessions: usize,
    /// How many requests a statement carries out.
    requests: usize,
    script: String,
}

/// Whether there are statements for a workload.
pub fn has(workload: &Workload) -> bool {
    matches!(workload.name, "one-key" | "50x5")
}

/// Ids and keys are drawn from as many equal parts of the population as there have to be different ones.
fn shape(scenario: &Scenario, population: u32) -> Shape {
    let sessions = scenario.in_flight.min(SESSIONS);
    let ids = |count: usize| {
        let part = population as usize / count;
        format!(
            "(SELECT array_agg((2000000000000000 + n * {part} + floor(random() * {part})::bigint)::text) FROM generate_series(0, {count} - 1) n)"
        )
    };
    if scenario.workload.name == "50x5" {
        let (ids, part) = (ids(50), KEYS / 5);
        return Shape {
            sessions,
            requests: 1,
            script: format!(
                "SELECT by_hand_five('{ACCOUNT}', {ids}, (SELECT array_agg('k' || lpad((n * {part} + floor(random() * {part})::int)::text, 2, '0')) \
                 FROM generate_series(0, 4) n), gen_random_uuid());\n"
            ),
        };
    }
    let requests = scenario.in_flight / sessions;
    let script = if requests == 1 {
        format!(
            "\\set user random(0, {population} - 1)\n\\set key random(0, {KEYS} - 1)\n\
             SELECT by_hand_one('{ACCOUNT}', (2000000000000000 + :user)::text, 'k' || lpad((:key)::text, 2, '0'), gen_random_uuid());\n"
        )
    } else {
        let ids = ids(requests);
        format!(
            "SELECT by_hand_many('{ACCOUNT}', {ids}, k.keys, k.requests) FROM (\
             SELECT array_agg('k' || lpad(floor(random() * {KEYS})::text, 2, '0')) AS keys, array_agg(gen_random_uuid()) AS requests \
             FROM generate_series(1, {requests})) k;\n"
        )
    };
    Shape {
        sessions,
        requests,
        script,
    }
}

/// Keeps the database under load until the end of the window.
pub fn run(
    scenario: &Scenario,
    database: &str,
    population: u32,
    window: Window,
    directory: &Path,
) -> Outcome<Counts> {
    let shape = shape(scenario, population);
    let script = directory.join("script");
    fs::write(&script, &shape.script)?;
    let left = |until: Instant| until.duration_since(Instant::now());
    let measured = SystemTime::now() + left(window.from)..SystemTime::now() + left(window.until);
    let output = Command::new(program("pgbench"))
        .args(["--no-vacuum", "--protocol=prepared", "--log"])
        .args(["--client", &shape.sessions.to_string()])
        .args([
            "--time",
            &left(window.until).as_secs_f64().ceil().to_string(),
        ])
        .arg("--file")
        .arg(&script)
        .arg(database)
        .env("PGOPTIONS", "-c plan_cache_mode=force_generic_plan")
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()?;
    let mut counts = Counts::new()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        counts.failed = BTreeMap::from([(error, 1)]);
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("pgbench_log."))
        {
            read(
                &fs::read_to_string(&path)?,
                &measured,
                shape.requests,
                &mut counts,
            )?;
            fs::remove_file(&path)?;
        }
    }
    Ok(counts)
}

/// Counts the transactions of a log that ended in the measured time: their third number is how long each took, in microseconds, and
/// the last two when it ended.
fn read(
    log: &str,
    measured: &Range<SystemTime>,
    requests: usize,
    counts: &mut Counts,
) -> Outcome<()> {
    for line in log.lines() {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [_, _, took, _, seconds, micros] = numbers[..] else {
            return Err(format!("pgbench has logged {line}").into());
        };
        let ended = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros);
        if measured.contains(&ended) {
            let requests = u64::try_from(requests)?;
            counts.ok += requests;
            counts.latency.record_n(took.min(SLOWEST), requests)?;
        }
    }
    Ok(())
}
