//! The values that a condition gives for one key, parsed into what its operator compares.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::Facts;
use super::glob::{Case, Glob};
use super::moment::Moment;
use super::operator::{Comparison, Key, Operator, Order};

/// A value as JSON has it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'a> {
    Text(&'a str),
    Number(i64),
    Bool(bool),
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "{text:?}"),
            Self::Number(number) => number.fmt(formatter),
            Self::Bool(flag) => flag.fmt(formatter),
        }
    }
}

/// The keys that String operators can compare as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextKey {
    SourceIp,
    SecureTransport,
}

/// The values that an attempt is compared with. Their kind follows from the operator and the key.
#[derive(Debug)]
pub(super) enum Values {
    Texts(TextKey, Case, Vec<Box<str>>),
    Patterns(TextKey, Vec<Glob>),
    Numbers(Order, Vec<Moment>),
    Dates(Order, Vec<Moment>),
    Bools(Vec<bool>),
    Networks(Vec<IpNet>),
}

impl Values {
    /// An empty set of values, or why the operator can never say anything about the key.
    pub(super) fn none(operator: &Operator, key: Key) -> Result<Self, String> {
        let text_key = match key {
            Key::SourceIp => Some(TextKey::SourceIp),
            Key::SecureTransport => Some(TextKey::SecureTransport),
            Key::CurrentTime => None,
        };
        Ok(match (operator.comparison, key, text_key) {
            (Comparison::Text, _, Some(text)) => Self::Texts(text, Case::Matters, Vec::new()),
            (Comparison::TextIgnoringCase, _, Some(text)) => {
                Self::Texts(text, Case::Ignored, Vec::new())
            }
            (Comparison::Pattern, _, Some(text)) => Self::Patterns(text, Vec::new()),
            (Comparison::Number(order), Key::CurrentTime, _) => Self::Numbers(order, Vec::new()),
            (Comparison::Date(order), Key::CurrentTime, _) => Self::Dates(order, Vec::new()),
            (Comparison::Bool, Key::SecureTransport, _) => Self::Bools(Vec::new()),
            (Comparison::Address, Key::SourceIp, _) => Self::Networks(Vec::new()),
            _ => return Err(key.misused(operator)),
        })
    }

    /// Adds a value, or says why it can't be one.
    pub(super) fn push(&mut self, value: Scalar<'_>) -> Result<(), String> {
        match (self, value) {
            (Self::Texts(key, case, texts), Scalar::Text(text)) => {
                texts.push(comparable_text(*key, *case, text)?);
            }
            (Self::Patterns(key, patterns), Scalar::Text(text)) => {
                patterns.push(comparable_pattern(*key, text)?);
            }
            (Self::Numbers(_, numbers), Scalar::Number(number)) => {
                numbers.push(Moment::from_unix_seconds(number));
            }
            (Self::Numbers(_, numbers), Scalar::Text(text)) => {
                let number = text.parse();
                let number = number.map_err(|_| {
                    format!(
                        "{value} must be a whole number of seconds since 1970, such as 1796083200"
                    )
                })?;
                numbers.push(Moment::from_unix_seconds(number));
            }
            (Self::Dates(_, dates), Scalar::Text(text)) => {
                let date = Moment::parse(text).map_err(|reason| format!("{value} {reason}"))?;
                dates.push(date);
            }
            (Self::Bools(flags), Scalar::Bool(flag)) => flags.push(flag),
            (Self::Bools(flags), Scalar::Text(text)) => {
                let flag = [("true", true), ("false", false)]
                    .into_iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(text));
                let (_, flag) = flag.ok_or_else(|| format!("{value} must be true or false"))?;
                flags.push(flag);
            }
            (Self::Networks(networks), Scalar::Text(text)) => networks.push(network(text)?),
            (Self::Numbers(..), Scalar::Bool(_)) => {
                return Err(format!("{value} must be a number"));
            }
            (Self::Bools(_), Scalar::Number(_)) => {
                return Err(format!("{value} must be true or false"));
            }
            _ => {
                return Err(format!(
                    "{value} must be a string; put it into quotation marks"
                ));
            }
        }
        Ok(())
    }

    /// Whether one of the values fits the attempt; `None` when the attempt has no value for the key.
    pub(super) fn fit(&self, facts: &Facts<'_>) -> Option<bool> {
        match self {
            Self::Texts(key, case, texts) => key.with_text(facts, |attempted| {
                texts.iter().any(|text| case.same_text(text, attempted))
            }),
            Self::Patterns(key, patterns) => key.with_text(facts, |attempted| {
                patterns.iter().any(|pattern| pattern.matches(attempted))
            }),
            Self::Numbers(order, given) | Self::Dates(order, given) => {
                Some(given.iter().any(|given| order.holds(&facts.moment, given)))
            }
            Self::Bools(flags) => Some(flags.contains(&facts.secure_transport)),
            Self::Networks(networks) => {
                let contains = |address| networks.iter().any(|network| network.contains(&address));
                facts.source_ip.map(contains)
            }
        }
    }
}

impl TextKey {
    /// Calls a function with the attempt's value as text, which is written nowhere but on the stack.
    fn with_text<R>(self, facts: &Facts<'_>, call: impl FnOnce(&str) -> R) -> Option<R> {
        match self {
            Self::SourceIp => {
                let mut text = AddressText::empty();
                // An address always fits.
                write!(text, "{}", facts.source_ip?).ok()?;
                text.as_str().map(call)
            }
            Self::SecureTransport => Some(call(if facts.secure_transport {
                "true"
            } else {
                "false"
            })),
        }
    }
}

/// A buffer for the text of an address.
struct AddressText {
    bytes: [u8; Self::LONGEST],
    used: usize,
}

impl AddressText {
    /// The length of the longest text: eight groups of four digits with colons between them, or six of them and an IPv4
    /// address.
    const LONGEST: usize = 45;

    fn empty() -> Self {
        Self {
            bytes: [0; Self::LONGEST],
            used: 0,
        }
    }

    fn as_str(&self) -> Option<&str> {
        let written = self.bytes.get(..self.used)?;
        std::str::from_utf8(written).ok()
    }
}

impl fmt::Write for AddressText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.used + text.len();
        let target = self.bytes.get_mut(self.used..end).ok_or(fmt::Error)?;
        target.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}

/// A text as attempts have it, or why no attempt ever has it.
fn comparable_text(key: TextKey, case: Case, text: &str) -> Result<Box<str>, String> {
    match key {
        TextKey::SourceIp => {
            let address: IpAddr = text.parse().map_err(|_| {
                format!("{text:?} must be one IP address; use IpAddress for a CIDR block, StringLike for a pattern")
            })?;
            Ok(address.to_canonical().to_string().into())
        }
        TextKey::SecureTransport
            if ["true", "false"]
                .iter()
                .any(|flag| case.same_text(flag, text)) =>
        {
            Ok(text.into())
        }
        TextKey::SecureTransport => Err(format!("{text:?} must be true or false")),
    }
}

/// A pattern over texts as attempts have them, or why it fits none.
fn comparable_pattern(key: TextKey, text: &str) -> Result<Glob, String> {
    match key {
        TextKey::SourceIp => match pattern_problem(text) {
            Some(problem) => Err(format!("{text:?} fits no address: {problem}")),
            None => Ok(Glob::new(text, Case::Ignored)),
        },
        TextKey::SecureTransport => Ok(Glob::new(text, Case::Matters)),
    }
}

/// Why a pattern fits no address in its shortest form: it would deny nobody in silence.
fn pattern_problem(pattern: &str) -> Option<&'static str> {
    let is_known = |byte: u8| byte.is_ascii_hexdigit() || b".:*?".contains(&byte);
    let has_leading_zero = |part: &str| {
        let digits = part.strip_prefix('0').and_then(|rest| rest.bytes().next());
        digits.is_some_and(|byte| byte.is_ascii_hexdigit())
    };
    if pattern.is_empty() || !pattern.bytes().all(is_known) {
        Some("give digits, dots, colons and wildcards, such as 10.0.* or 2001:db8:*")
    } else if pattern.to_ascii_lowercase().starts_with("::ffff:") && pattern.contains('.') {
        Some("IPv4 in the form of IPv6 is compared as IPv4; leave ::ffff: out")
    } else if pattern.split(['.', ':']).any(has_leading_zero) {
        Some("addresses are compared without leading zeros; leave them out")
    } else {
        None
    }
}

/// Reads a single address or a CIDR block. An IPv4 address that is mapped into IPv6 becomes IPv4, as it does in attempts.
fn network(text: &str) -> Result<IpNet, String> {
    let network: IpNet = if text.contains('/') {
        text.parse().ok()
    } else {
        text.parse::<IpAddr>().map(IpNet::from).ok()
    }
    .ok_or_else(|| {
        let instead = wildcard_block(text).map_or_else(
            || "such as 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32".to_owned(),
            |block| format!("without wildcards; write {block}"),
        );
        format!("{text:?} must be an IP address or a CIDR block, {instead}")
    })?;
    if network.trunc() != network {
        let begins = network.trunc();
        return Err(format!(
            "{text:?} has bits behind its prefix; write {begins} for the block, or the address alone"
        ));
    }
    Ok(match network {
        IpNet::V6(block) => mapped(block.network(), block.prefix_len()).unwrap_or(network),
        IpNet::V4(_) => network,
    })
}

/// The block that a pattern such as `10.1.*` or `10.1.2.*` means.
fn wildcard_block(text: &str) -> Option<Ipv4Net> {
    let known: Vec<&str> = text.split('.').take_while(|part| *part != "*").collect();
    let wildcards = text.split('.').skip(known.len());
    let is_block = (1..=3).contains(&known.len()) && wildcards.clone().all(|part| part == "*");
    if !is_block || known.len() + wildcards.count() > 4 {
        return None;
    }
    let mut octets = [0; 4];
    for (octet, part) in octets.iter_mut().zip(&known) {
        *octet = part.parse().ok()?;
    }
    Ipv4Net::new(octets.into(), u8::try_from(known.len() * 8).ok()?).ok()
}

/// The IPv4 block that a block within `::ffff:0:0/96` stands for.
fn mapped(address: Ipv6Addr, prefix: u8) -> Option<IpNet> {
    let prefix = prefix.checked_sub(96)?;
    let block = Ipv4Net::new(address.to_ipv4_mapped()?, prefix).ok()?;
    Some(IpNet::V4(block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_blocks_of_both_versions_are_networks() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.*",
            "::/129",
            "a/8",
            "10.0.0.0/",
            " 10.0.0.1",
        ] {
            assert!(network(bad).unwrap_err().contains("CIDR block"), "{bad}");
        }
        for (wildcards, block) in [
            ("42.160.1.*", "42.160.1.0/24"),
            ("10.*", "10.0.0.0/8"),
            ("10.1.*.*", "10.1.0.0/16"),
        ] {
            let reason = network(wildcards).unwrap_err();
            let wanted = format!("without wildcards; write {block}");
            assert!(reason.contains(&wanted), "{reason}");
        }
        for bad in ["*", "*.1", "10.*.1", "10.1.2.3.*", "10.*.*.*.*", "300.*"] {
            let reason = network(bad).unwrap_err();
            assert!(reason.contains("such as 192.0.2.1"), "{reason}");
        }
        let reason = network("10.1.2.3/8").unwrap_err();
        assert!(reason.contains("write 10.0.0.0/8"), "{reason}");
    }

    #[test]
    fn patterns_that_fit_no_address_are_refused() {
        for good in [
            "10.*",
            "2001:DB8::*",
            "2001:db8:0:*",
            "*",
            "fe80::?",
            "::ffff:*",
            "10.0.0.?",
        ] {
            comparable_pattern(TextKey::SourceIp, good).unwrap();
        }
        for (bad, reason) in [
            ("", "give digits"),
            ("10.0.0.0/8", "give digits"),
            ("fe80::1%eth0", "give digits"),
            ("[2001:db8::*]", "give digits"),
            ("::ffff:10.*", "leave ::ffff: out"),
            ("::FFFF:10.0.0.1", "leave ::ffff: out"),
            ("2001:0db8:*", "without leading zeros"),
            ("010.*", "without leading zeros"),
        ] {
            let error = comparable_pattern(TextKey::SourceIp, bad).unwrap_err();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    #[test]
    fn the_buffer_holds_the_text_of_every_address() {
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        for text in [longest, "::ffff:255.255.255.255", "::", "0.0.0.0"] {
            let mut text_of = AddressText::empty();
            write!(text_of, "{}", text.parse::<IpAddr>().unwrap()).unwrap();
            assert_eq!(text_of.as_str(), Some(text));
        }
    }
}
