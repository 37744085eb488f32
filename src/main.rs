//! The `untag` program: see `untag --help`.

use std::process::ExitCode;

/// The allocator. Requests allocate on one thread and are freed on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    untag::cli::run()
}
