//! The scenarios that are measured.

use std::time::Duration;

use crate::kind::Kind;
use crate::names::Accounts;
use crate::workload::{Skew, Workload};

/// One thing to measure, on every server.
pub struct Scenario {
    pub workload: &'static Workload,
    pub servers: Vec<&'static Kind>,
    pub in_flight: usize,
    pub connections: usize,
    pub skew: Skew,
    pub accounts: Accounts,
    pub rounds: u32,
    pub warm_up: Duration,
    pub measured: Duration,
}
