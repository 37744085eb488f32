//! The stores: what each promises, and the service on them when disks, databases and processes fail.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

#[path = "../support/mod.rs"]
mod support;

mod black_box;
mod contract;
mod crash;
mod grammar;
mod histories;
mod postgres;
mod sqlite_faults;
