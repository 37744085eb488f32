//! The manifests of deploy/kubernetes, as kubectl renders them: that they fit the program and each other, and that the
//! program runs as they say.

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
