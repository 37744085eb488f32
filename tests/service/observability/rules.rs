//! The alerts, the dashboard and the runbook speak of what there is. That the alerts fire is tested by promtool (scripts/lint).

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::http::get;
use crate::support::sample;

const RULES: &str = include_str!("../../../deploy/prometheus/rules.yaml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/dashboard.json");
const RUNBOOK: &str = include_str!("../../../docs/runbook.md");

/// The values of a key in the rules.
fn after<'rules>(key: &str) -> Vec<&'rules str> {
    RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix(key))
        .collect()
}

/// The words of a text that are names of metrics.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .filter(|word| {
            ["grpc_server_", "untag_", "process_"]
                .iter()
                .any(|start| word.starts_with(start))
        })
        .collect()
}

/// The queries of the dashboard, of its variables too.
fn queries(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text) if name == "expr" || name == "query" => vec![text.as_str()],
                value => queries(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_are_exported_only() {
    let (server, _directory) = sample(&[]);
    let (_, text) = get(&server, "/metrics");
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let mut exported: BTreeSet<&str> = series
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    // Shown by tests/service/security, with a certificate.
    exported.insert("untag_tls_certificate_expiry_timestamp_seconds");

    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let queries = queries(&dashboard);
    let asked: BTreeSet<&str> = queries.iter().flat_map(|query| metrics_in(query)).collect();
    let asked = asked
        .union(&metrics_in(RULES))
        .copied()
        .collect::<BTreeSet<_>>();
    assert!(asked.len() > 20, "{asked:?}");
    let unknown: Vec<&&str> = asked.difference(&exported).collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    // The other way round: the dashboard has a place for every metric that there is.
    let family = |name: &str| {
        let end = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find(|end| name.ends_with(end));
        name.strip_suffix(end.unwrap_or_default())
            .unwrap()
            .to_owned()
    };
    let shown: BTreeSet<String> = asked.iter().map(|name| family(name)).collect();
    let exported: BTreeSet<String> = exported.iter().map(|name| family(name)).collect();
    assert_eq!(shown, exported);
}

#[test]
fn installations_in_several_namespaces_are_told_apart() {
    let sums: Vec<&str> = RULES.split("sum by (").skip(1).collect();
    assert!(sums.len() >= 7, "{sums:?}");
    for sum in sums {
        assert!(sum.starts_with("namespace, job"), "{sum}");
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    for query in queries(&dashboard["panels"]) {
        let series = metrics_in(query).len();
        let chosen = query.matches(r#"{namespace=~"$namespace", job=~"$job""#);
        assert!(series > 0 && chosen.count() >= series, "{query}");
    }
}

#[test]
fn each_alert_says_what_it_means_and_has_its_section_in_the_runbook() {
    let alerts = after("- alert: ");
    assert!(alerts.len() >= 7, "{alerts:?}");
    let sections: Vec<&str> = RUNBOOK
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    assert_eq!(
        sections, alerts,
        "the runbook has them in the order of the rules"
    );
    let anchors: Vec<String> = alerts
        .iter()
        .map(|alert| format!("docs/runbook.md#{}", alert.to_lowercase()))
        .collect();
    assert_eq!(after("runbook_url: "), anchors);
    for key in ["summary: ", "description: ", "labels: { severity: "] {
        assert_eq!(after(key).len(), alerts.len(), "{key}");
    }
    // A link within the runbook leads to a section.
    for link in RUNBOOK.split("](#").skip(1) {
        let anchor = link.split(')').next().unwrap();
        assert!(
            alerts.iter().any(|alert| alert.to_lowercase() == anchor),
            "{anchor}"
        );
    }
    for name in metrics_in(RUNBOOK) {
        assert!(
            include_str!("../../../docs/metrics.md").contains(&format!("`{name}`")),
            "{name}"
        );
    }
}

#[test]
fn promtool_finds_nothing_to_improve_in_a_scrape() {
    let promtool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian/promtool");
    assert!(
        promtool.exists(),
        "{} is missing: run scripts/setup",
        promtool.display()
    );
    let mut promtool = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (server, _directory) = sample(&[]);
    let (_, text) = get(&server, "/metrics");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}
