//! The `untag` program: see `untag --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    untag::cli::run()
}
