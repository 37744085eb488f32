//! The rules of an API server for objects: their defaults, what can't be changed, and their status.

use serde_json::{Map, Value, json};

use super::discovery::Kind;

/// What the server adds within lists that `kubectl apply` compares as a whole, and within a strategy, which it does too: where,
/// the field, and its value as JSON. In other maps, and in lists that are merged by a key, an addition is no difference. Since Kubernetes 1.34 a claim's
/// `creationTimestamp`, which was null, is not among them any more.
const DEFAULTS: [(&str, &str, &str); 8] = [
    ("spec.strategy", "type", r#""RollingUpdate""#),
    ("spec.ingress.ports", "protocol", r#""TCP""#),
    ("spec.egress.ports", "protocol", r#""TCP""#),
    ("spec.volumeClaimTemplates", "apiVersion", r#""v1""#),
    (
        "spec.volumeClaimTemplates",
        "kind",
        r#""PersistentVolumeClaim""#,
    ),
    (
        "spec.volumeClaimTemplates",
        "status",
        r#"{"phase":"Pending"}"#,
    ),
    (
        "spec.volumeClaimTemplates.spec",
        "volumeMode",
        r#""Filesystem""#,
    ),
    (
        "spec.template.spec.volumes.projected.sources.serviceAccountToken",
        "expirationSeconds",
        "3600",
    ),
];

/// An object as the server keeps it.
pub fn with_defaults(kind: &Kind, mut object: Value) -> Value {
    object["kind"] = json!(kind.name);
    object["apiVersion"] = json!(kind.api_version());
    if kind.name == "StatefulSet" {
        // What `kubectl rollout status` looks for.
        object["spec"]["updateStrategy"]["type"] = json!("RollingUpdate");
    }
    for (path, field, value) in DEFAULTS {
        let path: Vec<&str> = path.split('.').collect();
        let value: Value = serde_json::from_str(value).unwrap();
        each(&mut object, &path, &|found| {
            let field = found.entry(field);
            field.or_insert_with(|| value.clone());
        });
    }
    object
}

/// Calls with every map at a path, which leads through lists.
fn each(value: &mut Value, path: &[&str], change: &impl Fn(&mut Map<String, Value>)) {
    match (value, path) {
        (Value::Array(items), _) => items.iter_mut().for_each(|item| each(item, path, change)),
        (Value::Object(fields), [first, rest @ ..]) => {
            if let Some(field) = fields.get_mut(*first) {
                each(field, rest, change);
            }
        }
        (Value::Object(fields), []) => change(fields),
        _ => {}
    }
}

/// The fields that can't be changed.
pub fn immutable(kind: &str, object: &Value) -> Value {
    let spec = &object["spec"];
    match kind {
        "Deployment" => json!([spec["selector"]]),
        "Job" => json!([spec["selector"], spec["template"]]),
        "StatefulSet" => {
            let mut spec = spec.clone();
            let fields = spec.as_object_mut().unwrap();
            for mutable in [
                "minReadySeconds",
                "ordinals",
                "persistentVolumeClaimRetentionPolicy",
                "replicas",
                "revisionHistoryLimit",
                "template",
                "updateStrategy",
            ] {
                fields.remove(mutable);
            }
            spec
        }
        _ => Value::Null,
    }
}

/// The status of what runs as it should.
pub fn status(kind: &str, object: &Value, generation: u64) -> Option<Value> {
    let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
    match kind {
        "Deployment" | "StatefulSet" => Some(json!({
            "observedGeneration": generation,
            "replicas": replicas,
            "readyReplicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": replicas,
            "currentRevision": "one",
            "updateRevision": "one",
        })),
        "Job" => Some(json!({ "ready": 1 })),
        _ => None,
    }
}

/// The subresource that `kubectl scale` works on.
pub fn scale(object: &Value) -> Value {
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": object["metadata"],
        "spec": { "replicas": object["spec"]["replicas"] },
        "status": { "replicas": object["spec"]["replicas"] },
    })
}
