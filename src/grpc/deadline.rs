//! The deadline that a caller sets.

use std::time::Duration;

use http::HeaderMap;

use crate::domain::{Fault, FaultCode};

const TIMEOUT_HEADER: &str = "grpc-timeout";

/// Reads how long the caller is willing to wait: at most eight digits and a unit, as the gRPC protocol has it.
pub fn caller_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Fault> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else {
        return Ok(None);
    };
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
    parse().map(Some).ok_or_else(|| Fault {
        code: FaultCode::InvalidTimeout,
        field: TIMEOUT_HEADER.to_owned(),
        description: format!(
            "{value:?} must be 1 to 8 digits and one of the units H, M, S, m, u, n"
        ),
    })
}
