//! The feed: watchers of an account are told every change once and in order, whatever happens to the service and to them.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/watcher.rs"]
mod watcher;

mod costs;
mod home;
mod kills;
mod mirror;
mod writers;
