//! The text that Prometheus reads.

use std::cmp::Ordering;
use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// The two forms of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The one that every tool reads, promtool among them.
    Prometheus,
    /// The standard, which Prometheus asks for.
    OpenMetrics,
}

impl Format {
    /// The form that a client likes best by its Accept header. `OpenMetrics` has to be named where it is liked no better.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let open = Liking::of("application/openmetrics-text", accept);
        let plain = Liking::of("text/plain", accept);
        let is_open = match open.quality.total_cmp(&plain.quality) {
            Ordering::Greater => true,
            Ordering::Equal => open.range == Range::Exact && open.quality > 0.0,
            Ordering::Less => false,
        };
        if is_open {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The content type of the form.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// How much a client likes a media type (RFC 9110, section 12.5.1).
struct Liking {
    /// The most specific range of the header that has the media type.
    range: Range,
    /// The quality value, from 0, which is not at all, to 1.
    quality: f32,
}

/// A range of media types, from the least specific to the most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Range {
    Anything,
    Type,
    Exact,
}

impl Liking {
    /// The liking for a media type, by an Accept header. Its other parameters, such as versions, are not compared.
    fn of(media_type: &str, accept: &str) -> Self {
        let (kind, _) = media_type.split_once('/').unwrap_or_default();
        let liking = |element: &str| {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next()?.to_ascii_lowercase();
            let range = match name.split_once('/')? {
                _ if name == media_type => Range::Exact,
                (given, "*") if given == kind => Range::Type,
                ("*", "*") => Range::Anything,
                _ => return None,
            };
            let weight = parts.filter_map(|part| part.split_once('='));
            let mut weight = weight.filter(|(name, _)| name.eq_ignore_ascii_case("q"));
            let quality = weight.next().map_or(Ok(1.0), |(_, value)| value.parse());
            quality.ok().map(|quality| Self { range, quality })
        };
        let better = |one: &Self, other: &Self| {
            let by_range = one.range.cmp(&other.range);
            by_range.then(one.quality.total_cmp(&other.quality))
        };
        let all = accept.split(',').filter_map(liking);
        all.max_by(better).unwrap_or(Self {
            range: Range::Anything,
            quality: 0.0,
        })
    }
}

pub(super) fn render(registry: &Registry, format: Format) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(32 * 1024);
    text::encode(&mut text, registry)?;
    Ok(match format {
        Format::OpenMetrics => text,
        Format::Prometheus => to_prometheus(&text),
    })
}

/// `OpenMetrics` describes a counter by its name without `_total`, and ends with a mark; else the two are the same here.
fn to_prometheus(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + 1024);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let described = line.strip_prefix("# HELP ");
        let described = described.and_then(|described| described.split_once(' '));
        if let Some((name, help)) = described {
            let counter = format!("# TYPE {name} counter");
            if lines.next_if_eq(&counter.as_str()).is_some() {
                for part in [
                    "# HELP ",
                    name,
                    "_total ",
                    help,
                    "\n# TYPE ",
                    name,
                    "_total counter\n",
                ] {
                    result += part;
                }
                continue;
            }
        }
        if line != "# EOF" {
            result += line;
            result.push('\n');
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_the_name_of_their_series() {
        let open = "# HELP a Of a.\n# TYPE a counter\na_total{x=\"y\"} 1\n# HELP b Of b.\n# TYPE b gauge\nb 2\n# EOF\n";
        let plain = "# HELP a_total Of a.\n# TYPE a_total counter\na_total{x=\"y\"} 1\n# HELP b Of b.\n# TYPE b gauge\nb 2\n";
        assert_eq!(to_prometheus(open), plain);
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for other in ["", "*/*", "text/plain"] {
            assert_eq!(Format::accepted(other), Format::Prometheus);
        }
    }
}
