//! A hostile network: while an attack goes on, a well-behaved client on another connection is answered, the memory stays
//! bounded and the process lives. And the limits, one by one.
//!
//! Attacks write their own HTTP/2 frames. `cargo test --test attacks -- --nocapture` prints what each came to;
//! `UNTAG_ATTACK_SECONDS` makes them longer.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

#[path = "../support/mod.rs"]
mod support;

mod cgroup;
mod frames;
mod plain_http;
mod release;
mod target;

mod connections;
mod floods;
mod http1;
mod limited;
mod limits;
mod memory;
mod rpc;
mod slots;
mod slowness;
