//! The feed: watchers of an account are told every change once and in order, whatever happens to the service and to them.

mod costs;
mod home;
mod kills;
mod mirror;
mod writers;
