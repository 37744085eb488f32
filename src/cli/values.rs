//! The values of flags.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::auth::check_spiffe_id;
use crate::domain::{Action, Caller, Revision};

/// Reads an IP address and a port. `localhost` is 127.0.0.1: server and client have to agree on one address.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let local = |(host, port): (&str, &str)| {
        let port = host.eq_ignore_ascii_case("localhost").then(|| port.parse());
        Some((Ipv4Addr::LOCALHOST, port?.ok()?).into())
    };
    let address = text.parse().ok();
    let address = address.or_else(|| text.rsplit_once(':').and_then(local));
    address.ok_or_else(|| {
        "give an IP address and a port, such as 127.0.0.1:50051, [::1]:50051 or localhost:50051, \
         or 0.0.0.0:50051 for all addresses"
            .to_owned()
    })
}

/// Reads yes or no, as people write it.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err("give true or false; yes, no, on, off, 1 and 0 do too".to_owned()),
    }
}

/// Reads a number of seconds, which may have a fraction: 0.001 to 86,400.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let valid = |seconds: &f64| (0.001..=86_400.0).contains(seconds);
    let seconds = text.parse().ok().filter(valid);
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "give 0.001 to 86400 seconds".to_owned())
}

/// Reads the URL of a collector: a scheme and a host.
#[cfg(feature = "otlp")]
pub fn collector(text: &str) -> Result<http::Uri, String> {
    let uri: Option<http::Uri> = text.parse().ok();
    let is_url = |uri: &http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
    };
    uri.filter(is_url)
        .ok_or_else(|| "give a URL such as http://127.0.0.1:4317".to_owned())
}

/// Reads the name of a caller as policies see it.
pub fn caller(text: &str) -> Result<Caller, String> {
    let named = |prefix: &str| text.strip_prefix(prefix).filter(|name| !name.is_empty());
    if text == Caller::anonymous().as_str() {
        Ok(Caller::anonymous())
    } else if named("spiffe://").is_some() {
        check_spiffe_id(text)
            .map(|()| Caller::spiffe(text))
            .map_err(|reason| format!("no certificate names that caller: {reason}"))
    } else if let Some(name) = named("dns:") {
        Ok(Caller::dns(name))
    } else if let Some(subject) = named("jwt:") {
        Ok(Caller::token_subject(subject))
    } else if let Some(name) = named("key:") {
        Ok(Caller::access_key(name))
    } else {
        Err("give spiffe://<id>, dns:<name>, jwt:<subject>, key:<name> or anonymous".to_owned())
    }
}

/// Reads the number of a change.
pub fn revision(text: &str) -> Result<Revision, &'static str> {
    let revision = text.parse().ok().and_then(Revision::new);
    let revision = revision.filter(|revision| *revision <= Revision::LAST);
    revision.ok_or("give the number of a change, from 1 on")
}

/// Reads the name of an action, without regard to case as policies do.
pub fn action(text: &str) -> Result<Action, String> {
    let named = |action: &Action| action.as_str().eq_ignore_ascii_case(text);
    Action::ALL.into_iter().find(named).ok_or_else(|| {
        let known = Action::ALL.map(Action::as_str).join(", ");
        format!("give one of {known}")
    })
}
