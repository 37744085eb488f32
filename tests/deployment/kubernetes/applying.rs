//! What `kubectl apply` does with the manifests, on an API server: a real one where `UNTAG_KUBECONFIG` leads to one, and else
//! one of our own.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use super::api_server::{ApiServer, kubectl};
use super::discovery::is_of_operator;
use super::rendering::{named, rendered};

/// The lists of maps that `kubectl apply` merges by a key, by the ends of their paths.
const MERGED: [&str; 8] = [
    ".containers",
    ".containers.ports",
    ".env",
    ".initContainers",
    ".topologySpreadConstraints",
    ".volumeMounts",
    ".volumes",
    "Service.spec.ports",
];
/// Those that it compares as a whole, and that need all that the server would add: the table in rules.rs.
const COMPARED: [&str; 11] = [
    ".containers.envFrom",
    ".podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution",
    ".spec.egress",
    ".spec.egress.ports",
    ".spec.egress.to",
    ".spec.ingress",
    ".spec.ingress.from",
    ".spec.ingress.ports",
    ".spec.metrics",
    ".spec.volumeClaimTemplates",
    ".volumes.secret.items",
];

/// Leads to a cluster that tests may use.
const KUBECONFIG: &str = "UNTAG_KUBECONFIG";
/// What is applied: all that there is.
const ALL: [&str; 3] = ["embedded+all", "postgres+all", "example-import-postgres"];

/// A cluster, and a namespace in it for this test.
struct Cluster {
    kubeconfig: PathBuf,
    namespace: String,
    /// Ours; not there with a real server.
    server: Option<ApiServer>,
}

impl Cluster {
    fn start(name: &str) -> Self {
        let real = std::env::var_os(KUBECONFIG).map(PathBuf::from);
        let server = real.is_none().then(ApiServer::start);
        let kubeconfig = real.unwrap_or_else(|| server.as_ref().unwrap().kubeconfig());
        let namespace = format!(
            "untag-test-{}-{}",
            std::process::id(),
            name.replace('+', "-")
        );
        let cluster = Self {
            kubeconfig,
            namespace,
            server,
        };
        succeed(&cluster.kubectl(&["create", "namespace", &cluster.namespace]));
        cluster
    }

    fn kubectl(&self, arguments: &[&str]) -> Output {
        kubectl(&self.kubeconfig, arguments)
    }

    /// Those of the resources that it knows: a real one need not have the operators' kinds.
    fn known(&self, resources: &[Value]) -> Vec<Value> {
        let is_known = |resource: &&Value| self.server.is_some() || !is_of_operator(resource);
        resources.iter().filter(is_known).cloned().collect()
    }

    /// Applies resources in the namespace, and returns a line for each.
    fn apply(&self, resources: &[Value]) -> Vec<String> {
        let documents = resources.iter().map(|resource| {
            let mut resource = resource.clone();
            resource["metadata"]["namespace"] = json!(self.namespace);
            resource.to_string()
        });
        let documents = documents.collect::<Vec<_>>().join("\n---\n");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resources.yaml");
        std::fs::write(&path, documents).unwrap();
        let output = self.kubectl(&["apply", "--filename", path.to_str().unwrap()]);
        let printed = succeed(&output);
        printed.lines().map(str::to_owned).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_none() {
            self.kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
        }
    }
}

#[track_caller]
fn succeed(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The resources of a later version: another image and another setting.
fn later(resources: &[Value]) -> Vec<Value> {
    let text = Value::from(resources.to_vec()).to_string();
    let image = format!("untag:{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&image));
    let text = text.replace(&image, "untag:999.0.0\"");
    let mut resources: Vec<Value> = serde_json::from_str(&text).unwrap();
    for resource in &mut resources {
        if resource["kind"] == "ConfigMap" {
            resource["data"]["UNTAG_LOG_LEVEL"] = json!("debug");
        }
    }
    resources
}

/// Whether a line of `kubectl apply` says that a resource was changed. It sends the selector of a disruption budget again each
/// time and says "configured", though the server finds nothing new in it.
fn is_change(line: &str) -> bool {
    !line.ends_with(" unchanged") && !line.starts_with("poddisruptionbudget.policy/")
}

#[test]
fn a_second_apply_changes_nothing_and_a_later_version_is_applied_alike() {
    for name in ALL {
        let cluster = Cluster::start(name);
        let resources = &cluster.known(&named(name).resources);
        cluster.apply(resources);
        let second = cluster.apply(resources);
        assert_eq!(second.len(), resources.len());
        let changes: Vec<_> = second.iter().filter(|line| is_change(line)).collect();
        assert!(changes.is_empty(), "{name}: {changes:#?}");
        // What is done once needs no later version.
        if !name.contains("import") {
            let changes = cluster.apply(&later(resources));
            let configured = |line: &String| line.ends_with(" configured");
            assert!(changes.iter().any(configured), "{name}: {changes:#?}");
        }
    }
}

/// The paths of all lists of maps.
fn lists_of_maps(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                lists_of_maps(field, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) => {
            if items.iter().any(Value::is_object) {
                found.insert(path.to_owned());
            }
            for item in items {
                lists_of_maps(item, path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn what_the_server_adds_is_known_for_every_list() {
    let mut found = BTreeSet::new();
    let resources = rendered().iter().flat_map(|manifests| &manifests.resources);
    for resource in resources {
        // Those of operators have no defaults within the lists that are used here.
        if !is_of_operator(resource) {
            lists_of_maps(resource, resource["kind"].as_str().unwrap(), &mut found);
        }
    }
    assert!(found.len() > COMPARED.len());
    for path in found {
        let is_known = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
        assert!(
            is_known(&MERGED) || is_known(&COMPARED),
            "{path}: does `kubectl apply` compare it as a whole, and what does the server add within it?"
        );
    }
}
