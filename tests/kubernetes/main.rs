//! The manifests of deploy/kubernetes, as kubectl renders them: that they fit the program and each other, and that the
//! program runs as they say.

#[path = "../security/authority.rs"]
#[allow(dead_code, reason = "each test crate uses its own part")]
mod authority;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/mod.rs"]
mod support;

mod api_server;
mod container;
mod discovery;
mod objects;
mod rendering;
mod rules;
mod typed;

mod applying;
mod consistency;
mod pods;
mod readme;
mod running;
