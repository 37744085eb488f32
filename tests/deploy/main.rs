//! The contents of `deploy/`: the container image, run hardened by podman, the systemd unit, and the Debian package.

#[path = "../observability/http.rs"]
mod http;
#[path = "../support/postgres.rs"]
mod postgres_server;
#[path = "../support/mod.rs"]
mod support;

mod container;
mod image;
mod package;
mod systemd;
