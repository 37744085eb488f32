//! The deadline that a caller sets.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::protocol::Protocol;
use crate::domain::{Fault, FaultCode};

const GRPC_TIMEOUT: &str = "grpc-timeout";
const CONNECT_TIMEOUT: &str = "connect-timeout-ms";
/// The longest number of milliseconds that the Connect protocol has, in digits.
const CONNECT_DIGITS: usize = 10;

/// Reads how long the caller is willing to wait, as the protocol of the request has it.
pub fn caller_timeout(headers: &HeaderMap, protocol: Protocol) -> Result<Option<Duration>, Fault> {
    match protocol {
        Protocol::Grpc => headers.get(GRPC_TIMEOUT).map(grpc_timeout).transpose(),
        Protocol::Connect(_) | Protocol::ConnectStream => headers
            .get(CONNECT_TIMEOUT)
            .map(connect_timeout)
            .transpose(),
        Protocol::Unknown => Ok(None),
    }
}

/// Up to ten digits of milliseconds.
fn connect_timeout(value: &HeaderValue) -> Result<Duration, Fault> {
    let parse = || {
        let digits = value.to_str().ok()?;
        let is_number = (1..=CONNECT_DIGITS).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().map(Duration::from_millis).ok())?
    };
    parse().ok_or_else(|| Fault {
        code: FaultCode::InvalidTimeout,
        field: CONNECT_TIMEOUT.to_owned(),
        description: format!(
            "{value:?} must be 1 to {CONNECT_DIGITS} digits, a number of milliseconds"
        ),
    })
}

/// At most eight digits and a unit.
fn grpc_timeout(value: &HeaderValue) -> Result<Duration, Fault> {
    let parse = || {
        let (digits, unit) = value
            .to_str()
            .ok()?
            .split_at_checked(value.len().checked_sub(1)?)?;
        if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u64 = digits.parse().ok()?;
        match unit {
            "H" => Some(Duration::from_secs(number * 3600)),
            "M" => Some(Duration::from_secs(number * 60)),
            "S" => Some(Duration::from_secs(number)),
            "m" => Some(Duration::from_millis(number)),
            "u" => Some(Duration::from_micros(number)),
            "n" => Some(Duration::from_nanos(number)),
            _ => None,
        }
    };
    parse().ok_or_else(|| Fault {
        code: FaultCode::InvalidTimeout,
        field: GRPC_TIMEOUT.to_owned(),
        description: format!(
            "{value:?} must be 1 to 8 digits and one of the units H, M, S, m, u, n"
        ),
    })
}
