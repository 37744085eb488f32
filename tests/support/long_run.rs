//! Tests that can be made longer by a variable, and say what they have done.

use std::io::Write as _;
use std::str::FromStr;

/// A number that a variable may set.
pub fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let value = text.parse();
    Some(value.unwrap_or_else(|_| panic!("{name}={text} is not a number that fits")))
}

/// Says at each hundredth cycle how far a test is.
pub fn say_progress(what: &str, cycle: u32, cycles: u32) {
    if cycle.is_multiple_of(100) {
        say(&format!("{what}: {cycle} of {cycles}"));
    }
}

/// Past the test harness, which shows what a test prints only when it fails.
pub fn say(line: &str) {
    std::io::stdout()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}
