//! The discovery documents of an API server.

use serde_json::{Value, json};

/// A kind of object.
pub struct Kind {
    /// The path of its group and version.
    pub root: &'static str,
    pub name: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
}

const fn kind(root: &'static str, name: &'static str, plural: &'static str) -> Kind {
    Kind {
        root,
        name,
        plural,
        namespaced: true,
    }
}

const fn cluster(root: &'static str, name: &'static str, plural: &'static str) -> Kind {
    Kind {
        namespaced: false,
        ..kind(root, name, plural)
    }
}

const CORE: &str = "api/v1";
const APPS: &str = "apis/apps/v1";
const NETWORKING: &str = "apis/networking.k8s.io/v1";
const RBAC: &str = "apis/rbac.authorization.k8s.io/v1";
const CERT_MANAGER: &str = "apis/cert-manager.io/v1";
const MONITORING: &str = "apis/monitoring.coreos.com/v1";

/// Whether a resource is of an operator's kind, which a cluster need not have.
pub fn is_of_operator(resource: &Value) -> bool {
    let root = format!("apis/{}", resource["apiVersion"].as_str().unwrap());
    [CERT_MANAGER, MONITORING].contains(&root.as_str())
}

/// The kinds that the manifests and the commands of the README use.
pub const KINDS: [Kind; 19] = [
    cluster(CORE, "Namespace", "namespaces"),
    cluster(CORE, "PersistentVolume", "persistentvolumes"),
    kind(CORE, "ConfigMap", "configmaps"),
    kind(CORE, "PersistentVolumeClaim", "persistentvolumeclaims"),
    kind(CORE, "Pod", "pods"),
    kind(CORE, "Secret", "secrets"),
    kind(CORE, "Service", "services"),
    kind(CORE, "ServiceAccount", "serviceaccounts"),
    kind(APPS, "Deployment", "deployments"),
    kind(APPS, "StatefulSet", "statefulsets"),
    kind("apis/batch/v1", "Job", "jobs"),
    kind(
        "apis/autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    kind(
        "apis/policy/v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
    ),
    kind(NETWORKING, "NetworkPolicy", "networkpolicies"),
    cluster(RBAC, "ClusterRoleBinding", "clusterrolebindings"),
    kind(CERT_MANAGER, "Certificate", "certificates"),
    kind(CERT_MANAGER, "Issuer", "issuers"),
    kind(MONITORING, "PrometheusRule", "prometheusrules"),
    kind(MONITORING, "ServiceMonitor", "servicemonitors"),
];

impl Kind {
    /// The group of the kind, which the core has none of, and its version.
    pub fn group_and_version(&self) -> (&'static str, &'static str) {
        let path = self.root.split_once('/').unwrap().1;
        path.split_once('/').unwrap_or(("", path))
    }

    pub fn api_version(&self) -> &'static str {
        self.root.split_once('/').unwrap().1
    }
}

/// The document at a path, if discovery has one there.
pub fn document(path: &str) -> Option<Value> {
    let path = path.trim_matches('/');
    let roots = roots();
    match path {
        "version" => Some(json!({ "major": "1", "minor": "35", "gitVersion": "v1.35.0" })),
        ".well-known/openid-configuration" => Some(json!({ "issuer": "https://test" })),
        "api" => Some(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        "apis" => Some(groups(&roots)),
        "openapi/v3" => {
            let paths = roots.iter().map(|root| {
                let url = json!({ "serverRelativeURL": format!("/openapi/v3/{root}") });
                ((*root).to_owned(), url)
            });
            Some(json!({ "paths": paths.collect::<serde_json::Map<_, _>>() }))
        }
        _ => match path.strip_prefix("openapi/v3/") {
            Some(root) => roots.contains(&root).then(|| open_api(root)),
            None => roots.contains(&path).then(|| resources(path)),
        },
    }
}

fn roots() -> Vec<&'static str> {
    let mut roots: Vec<&str> = KINDS.iter().map(|kind| kind.root).collect();
    roots.dedup();
    roots
}

fn groups(roots: &[&str]) -> Value {
    let groups = roots.iter().filter_map(|root| {
        let version = root.strip_prefix("apis/")?;
        let (group, number) = version.split_once('/').unwrap();
        let version = json!({ "groupVersion": version, "version": number });
        Some(json!({ "name": group, "versions": [version], "preferredVersion": version }))
    });
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>() })
}

fn resources(root: &str) -> Value {
    let verbs = [
        "create", "delete", "get", "list", "patch", "update", "watch",
    ];
    let kinds = KINDS.iter().filter(|kind| kind.root == root);
    let resources = kinds.flat_map(|kind| {
        let resource = json!({
            "name": kind.plural,
            "singularName": kind.name.to_lowercase(),
            "kind": kind.name,
            "namespaced": kind.namespaced,
            "verbs": verbs,
        });
        let scale = (root == APPS).then(|| {
            json!({
                "name": format!("{}/scale", kind.plural),
                "singularName": "",
                "group": "autoscaling",
                "version": "v1",
                "kind": "Scale",
                "namespaced": true,
                "verbs": ["get", "patch", "update"],
            })
        });
        [resource].into_iter().chain(scale)
    });
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": root.split_once('/').unwrap().1,
        "resources": resources.collect::<Vec<_>>(),
    })
}

/// Says that the server itself validates fields: then `kubectl` does not.
fn open_api(root: &str) -> Value {
    let kinds = KINDS.iter().filter(|kind| kind.root == root);
    let paths = kinds.map(|kind| {
        let (group, version) = kind.group_and_version();
        let patch = json!({
            "parameters": [{ "name": "fieldValidation", "in": "query" }],
            "x-kubernetes-group-version-kind":
                { "group": group, "version": version, "kind": kind.name },
            "responses": {},
        });
        let objects = format!("/{root}/{}/{{name}}", kind.plural);
        (objects, json!({ "patch": patch }))
    });
    json!({
        "openapi": "3.0.0",
        "info": { "title": "test", "version": "1" },
        "paths": paths.collect::<serde_json::Map<_, _>>(),
    })
}
