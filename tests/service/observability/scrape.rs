//! A scrape of a server, parsed, and whether it is ready and alive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tonic_health::pb::HealthCheckRequest;

use crate::support::http::{get, series};
use crate::support::{PATIENCE, Server, health_client};

/// The metrics of a server at one moment.
pub struct Scrape {
    pub text: String,
    /// The values by name and labels, as they are written, the labels in order.
    pub series: BTreeMap<String, f64>,
}

impl Scrape {
    pub fn of(server: &Server) -> Self {
        let (status, text) = get(server, "/metrics");
        assert_eq!(status, 200);
        let series = series(&text).map(|(name, value)| (in_order(&name), value));
        let series = series.collect();
        Self { text, series }
    }

    /// The sum of all series of a name that carry these labels, written `name="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let fits = |series: &str| {
            let (found, carried) = series.split_once('{').unwrap_or((series, ""));
            found == name && labels.iter().all(|label| carried.contains(label))
        };
        let found: Vec<f64> = self
            .series
            .iter()
            .filter(|(series, _)| fits(series))
            .map(|(_, value)| *value)
            .collect();
        assert!(!found.is_empty(), "no {name} {labels:?}");
        found.iter().sum()
    }

    /// Names and labels, without the values.
    pub fn names(&self) -> BTreeSet<&str> {
        self.series.keys().map(String::as_str).collect()
    }

    /// The series of a name that are not 0, as `labels value`.
    pub fn counted(&self, name: &str) -> Vec<String> {
        let of_name = |(series, value): (&String, &f64)| {
            let labels = series.strip_prefix(name)?.strip_prefix('{')?;
            (*value != 0.0).then(|| format!("{} {value}", labels.trim_end_matches('}')))
        };
        self.series.iter().filter_map(of_name).collect()
    }
}

/// Waits until a scrape fits.
pub async fn scrape_until(server: &Server, fits: impl Fn(&Scrape) -> bool) -> Scrape {
    let started = Instant::now();
    loop {
        let scrape = Scrape::of(server);
        if fits(&scrape) {
            return scrape;
        }
        assert!(started.elapsed() < PATIENCE, "{}", scrape.text);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// No label value of ours holds a comma.
fn in_order(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else {
        return series.to_owned();
    };
    let mut labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}

/// Waits until `/ready` has this status, and gives the reason that it says.
pub async fn readiness(server: &Server, wanted: u16) -> String {
    let started = Instant::now();
    loop {
        let (status, reason) = get(server, "/ready");
        if status == wanted {
            return reason;
        }
        assert!(started.elapsed() < PATIENCE, "{status} {reason}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The health of a name on the admin port.
pub async fn health(server: &Server, service: &str) -> &'static str {
    let mut health = health_client(server.admin_address).await;
    let service = service.to_owned();
    let answer = health.check(HealthCheckRequest { service }).await.unwrap();
    answer.into_inner().status().as_str_name()
}
