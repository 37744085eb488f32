//! Crashes: an answered change is kept, and one that was not answered is whole or absent, wherever the process dies.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

#[path = "../support/replay.rs"]
#[allow(dead_code, reason = "each test crate uses its own part")]
mod replay;
#[path = "../support/mod.rs"]
mod support;

mod kill;
mod load;
mod model;
mod population;
mod strace;
mod sync_order;
mod users;
