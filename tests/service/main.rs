//! The service seen from outside: the real binary, asked over real connections.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

#[path = "../support/mod.rs"]
mod support;

mod black_box;
mod feed;
mod observability;
mod security;
