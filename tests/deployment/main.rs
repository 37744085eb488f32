//! The contents of `deploy/`: the container image, run hardened by podman, the systemd unit, the Debian package, the manifests for
//! Kubernetes, and the program under attack, as it runs there.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod container;
mod image;
mod kubernetes;
mod package;
mod systemd;
