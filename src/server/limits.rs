//! The limits on what callers may take up.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::grpc::{Admission, Budget};

/// The limits of the public port.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// TLS handshakes at a time.
    pub handshakes: usize,
    /// Requests that one connection may have open.
    pub streams: u32,
    /// Streams that the service may reset, or the client before the service saw them, until their connection is closed: a
    /// client that opens and resets streams without end costs a connection and not the service (CVE-2023-44487).
    pub reset_streams: usize,
    /// The headers of one request, in bytes.
    pub header_list_bytes: u32,
    /// The memory for requests and answers that are under way, in bytes.
    pub held_bytes: usize,
    /// How long a client may take for the TLS handshake and the first bytes of HTTP/2.
    pub handshake_timeout: Duration,
    /// How long a connection may be open without a request.
    pub idle_timeout: Duration,
    /// How old a connection may become; each gets a tenth more or less, so that they do not all leave at once.
    pub connection_age: Duration,
    /// How often an open connection is asked whether its client is still there.
    pub keepalive_interval: Duration,
    /// How long the client's answer to that may take.
    pub keepalive_timeout: Duration,
    /// Requests that are carried out at a time.
    pub requests_in_flight: usize,
    /// Requests a second for each caller who has shown who it is.
    pub caller_rate: Option<NonZeroU32>,
    /// Requests a second for all anonymous callers together.
    pub anonymous_rate: Option<NonZeroU32>,
}

impl Limits {
    /// The headers of one request, in bytes, as a size.
    #[must_use]
    pub fn header_list_bytes(&self) -> usize {
        usize::try_from(self.header_list_bytes).unwrap_or(usize::MAX)
    }

    /// The budget of memory for requests and answers.
    #[must_use]
    pub fn budget(&self) -> Arc<Budget> {
        Budget::new(self.held_bytes)
    }

    /// The limits on requests that are carried out.
    #[must_use]
    pub fn admission(&self) -> Admission {
        Admission::new(
            self.requests_in_flight,
            self.caller_rate,
            self.anonymous_rate,
        )
    }

    /// The limits of the admin port, which only probes and operators use.
    #[must_use]
    pub fn of_admin_port(&self) -> Self {
        Self {
            connections: 256,
            streams: 64,
            header_list_bytes: 4096,
            held_bytes: 16 * 1024 * 1024,
            ..self.clone()
        }
    }
}
