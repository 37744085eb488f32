//! The flags for what callers may take up.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;

use super::values::seconds;
use crate::server::Limits;

/// The requests a second of a caller who shows who it is, where nothing else is given.
const CALLER_RATE: u32 = 10_000;

/// The limits of `untag serve`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArguments {
    /// How many connections may be open; more are closed at once.
    #[arg(long, env = "UNTAG_MAX_CONNECTIONS", value_name = "CONNECTIONS", default_value = "10000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,

    /// How many connections may be in their TLS handshake; more are closed at once.
    #[arg(long, env = "UNTAG_MAX_HANDSHAKES", value_name = "CONNECTIONS", default_value = "2000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_handshakes: u32,

    /// How many requests one connection may have open; clients queue more by themselves.
    #[arg(long, env = "UNTAG_MAX_STREAMS", value_name = "REQUESTS", default_value = "1024",
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_streams: u32,

    /// How many reset streams of a connection are put up with before it is closed.
    #[arg(long, env = "UNTAG_MAX_RESET_STREAMS", value_name = "STREAMS", default_value = "256",
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_reset_streams: u32,

    /// The largest headers of a request, in bytes.
    #[arg(long, env = "UNTAG_MAX_HEADER_LIST_BYTES", value_name = "BYTES", default_value = "16384",
        value_parser = clap::value_parser!(u32).range(4_096..=1_048_576))]
    max_header_list_bytes: u32,

    /// The largest request message, in bytes. The largest valid one has a third of the default.
    #[arg(long, env = "UNTAG_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value = "65536",
        value_parser = clap::value_parser!(u32).range(1_024..=65_536))]
    max_message_bytes: u32,

    /// How much memory requests and answers may take that are under way, in bytes. Each connection may hold an eighth of what
    /// is free; what is over is refused with RESOURCE_EXHAUSTED. An eighth of the whole is for those who are not identified.
    #[arg(long, env = "UNTAG_MAX_HELD_BYTES", value_name = "BYTES", default_value = "67108864",
        value_parser = clap::value_parser!(u32).range(1_048_576..))]
    max_held_bytes: u32,

    /// How many requests are carried out at a time; more are refused with RESOURCE_EXHAUSTED.
    #[arg(long, env = "UNTAG_MAX_REQUESTS_IN_FLIGHT", value_name = "REQUESTS", default_value = "16384",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_requests_in_flight: u32,

    /// How many requests a caller may send in a second, also at once; more are refused with RESOURCE_EXHAUSTED. Without it
    /// a caller who shows who it is may send 10,000, and there is no limit for anonymous callers; where it is given, these
    /// are one caller together. 0 is no limit.
    #[arg(long, env = "UNTAG_MAX_CALLER_RATE", value_name = "REQUESTS")]
    max_caller_rate: Option<u32>,

    /// How many tokens that prove nothing a source address may show in a second, also at once; more are refused unread with
    /// RESOURCE_EXHAUSTED, but those that have passed before. 0 is no limit.
    #[arg(
        long,
        env = "UNTAG_MAX_FAILURE_RATE",
        value_name = "TOKENS",
        default_value = "100"
    )]
    max_failure_rate: u32,

    /// How long a client may take for the TLS handshake and the beginning of HTTP/2, in seconds.
    #[arg(long, env = "UNTAG_HANDSHAKE_TIMEOUT", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    handshake_timeout: Duration,

    /// How long a connection may be open without a request, in seconds.
    #[arg(long, env = "UNTAG_IDLE_TIMEOUT", value_name = "SECONDS", default_value = "900", value_parser = seconds)]
    idle_timeout: Duration,

    /// How old a connection may become, in seconds, a tenth more or less: then its client is told to open another one, which
    /// may reach another replica and sees a newer certificate.
    #[arg(long, env = "UNTAG_MAX_CONNECTION_AGE", value_name = "SECONDS", default_value = "1800", value_parser = seconds)]
    max_connection_age: Duration,

    /// How often a connection is asked whether its client is still there, in seconds.
    #[arg(long, env = "UNTAG_KEEPALIVE_INTERVAL", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    keepalive_interval: Duration,

    /// How long the client may take to answer that, in seconds.
    #[arg(long, env = "UNTAG_KEEPALIVE_TIMEOUT", value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    keepalive_timeout: Duration,
}

impl LimitArguments {
    /// The largest request message, in bytes.
    pub fn max_message_bytes(&self) -> usize {
        count(self.max_message_bytes)
    }

    /// How many tokens that prove nothing a source address may show in a second.
    pub fn failure_rate(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.max_failure_rate)
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        Limits {
            connections: count(self.max_connections),
            handshakes: count(self.max_handshakes),
            streams: self.max_streams,
            reset_streams: count(self.max_reset_streams),
            held_bytes: count(self.max_held_bytes),
            header_list_bytes: self.max_header_list_bytes,
            handshake_timeout: self.handshake_timeout,
            idle_timeout: self.idle_timeout,
            connection_age: self.max_connection_age,
            keepalive_interval: self.keepalive_interval,
            keepalive_timeout: self.keepalive_timeout,
            requests_in_flight: count(self.max_requests_in_flight),
            caller_rate: NonZeroU32::new(self.max_caller_rate.unwrap_or(CALLER_RATE)),
            anonymous_rate: self.max_caller_rate.and_then(NonZeroU32::new),
        }
    }
}

/// A number of the command line as a size.
pub fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    #[test]
    fn anonymous_callers_have_no_rate_unless_one_is_given() {
        let rates = |arguments: &[&str]| {
            let command = LimitArguments::augment_args(Command::new("serve"));
            let arguments = [&["serve"], arguments].concat();
            let matches = command.get_matches_from(arguments);
            let limits = LimitArguments::from_arg_matches(&matches).unwrap().limits();
            [limits.caller_rate, limits.anonymous_rate].map(|rate| rate.map(NonZeroU32::get))
        };
        assert_eq!(rates(&[]), [Some(10_000), None]);
        assert_eq!(rates(&["--max-caller-rate", "7"]), [Some(7), Some(7)]);
        assert_eq!(rates(&["--max-caller-rate", "0"]), [None, None]);
    }
}
