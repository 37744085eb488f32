//! The address of a service, as people type it.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;

use crate::https;

/// What is said of an address that is none.
const EXAMPLE: &str = "give a host and a port, such as untag.example.com:50051, 127.0.0.1:50051 or [::1]:50051, and \
    before it http:// where the service speaks no TLS, or https:// where it does";

/// Whether a connection is by TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/2 without TLS.
    Plain,
    /// HTTP/2 over TLS.
    Tls,
}

/// The host and the port of a service, and whether it speaks TLS, where that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    scheme: Option<Scheme>,
    authority: Authority,
}

impl FromStr for ServerAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (Some(Scheme::Tls), rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (Some(Scheme::Plain), rest)
        } else {
            (None, text)
        };
        let authority: Authority = rest.parse().map_err(|_| EXAMPLE)?;
        let is_whole = !authority.host().is_empty()
            && authority.port_u16().is_some_and(|port| port > 0)
            && !rest.contains('@');
        is_whole
            .then_some(Self { scheme, authority })
            .ok_or(EXAMPLE)
    }
}

impl ServerAddress {
    /// The scheme that was typed, if one was.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Whether the address is of this host: what is said there nobody on the way can hear.
    pub fn is_this_host(&self) -> bool {
        https::names_this_host(self.authority.host())
    }

    /// The URI of the service by this scheme.
    pub fn uri(&self, scheme: Scheme) -> String {
        match scheme {
            Scheme::Plain => format!("http://{}", self.authority),
            Scheme::Tls => format!("https://{}", self.authority),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.authority.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_and_may_say_its_scheme() {
        for (text, scheme, shown, is_this_host) in [
            ("127.0.0.1:50051", None, "127.0.0.1:50051", true),
            ("LOCALHOST:1", None, "LOCALHOST:1", true),
            ("[::1]:1", None, "[::1]:1", true),
            (
                "untag.example.com:443",
                None,
                "untag.example.com:443",
                false,
            ),
            (
                "http://10.0.0.1:1",
                Some(Scheme::Plain),
                "10.0.0.1:1",
                false,
            ),
            (
                "https://localhost:1",
                Some(Scheme::Tls),
                "localhost:1",
                true,
            ),
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(address.scheme(), scheme, "{text}");
            assert_eq!(address.to_string(), shown, "{text}");
            assert_eq!(address.is_this_host(), is_this_host, "{text}");
        }
        for bad in [
            "",
            "50051",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            ":50051",
            "https://localhost",
            "ftp://localhost:1",
            "http://localhost:1/",
            "me@localhost:1",
            "::1",
            "::1:50051",
        ] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad}");
        }
    }
}
