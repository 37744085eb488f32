//! The objects of an API server, and what it does to them.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::api_server::Target;
use super::discovery::{KINDS, Kind};
use super::rendering::list;
use super::rules::{immutable, scale, status, with_defaults};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The answer to a request.
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    fn ok(body: Value) -> Self {
        let status = StatusCode::OK;
        Self { status, body }
    }

    fn failure(status: StatusCode, reason: &str, message: &str) -> Self {
        let body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": reason,
            "message": message,
            "code": status.as_u16(),
        });
        Self { status, body }
    }

    pub fn not_found(what: &str) -> Self {
        let message = format!("{what} not found");
        Self::failure(StatusCode::NOT_FOUND, "NotFound", &message)
    }

    pub fn invalid(message: &str) -> Self {
        Self::failure(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }
}

/// Where an object is: its kind, its namespace if it has one, and its name.
type Key = (&'static str, String, String);

/// All objects.
pub struct Objects {
    objects: BTreeMap<Key, Value>,
    /// How many objects were written.
    version: u64,
}

impl Objects {
    pub fn new() -> Self {
        let mut objects = Self {
            objects: BTreeMap::new(),
            version: 0,
        };
        let kind = &KINDS[0];
        let default = json!({ "metadata": { "name": "default" } });
        objects.put(kind, String::new(), default);
        objects
    }

    /// The objects of a namespace: kinds and names.
    pub fn names_in(&self, namespace: &str) -> Vec<String> {
        let keys = self.objects.keys().filter(|key| key.1 == namespace);
        keys.map(|(kind, _, name)| format!("{kind} {name}"))
            .collect()
    }

    pub fn carry_out(
        &mut self,
        method: &Method,
        target: &Target,
        query: &BTreeMap<String, String>,
        body: Value,
    ) -> Answer {
        let namespace = target.namespace.unwrap_or_default().to_owned();
        if target.is_collection_read(method) {
            return Answer::ok(self.list(target.kind, &namespace, query));
        }
        let home = ("Namespace", String::new(), namespace.clone());
        if target.kind.namespaced && !self.objects.contains_key(&home) {
            return Answer::not_found(&format!("namespaces {namespace:?}"));
        }
        let name = target.name.or(body["metadata"]["name"].as_str());
        let key = (target.kind.name, namespace, name.unwrap().to_owned());
        let found = self.objects.get(&key).cloned();
        let what = format!("{} {:?}", target.kind.plural, key.2);
        match (method.as_str(), found) {
            ("POST", None) => Answer::ok(self.put(target.kind, key.1, body)),
            ("POST", Some(_)) => {
                let message = format!("{what} already exists");
                Answer::failure(StatusCode::CONFLICT, "AlreadyExists", &message)
            }
            (_, None) => Answer::not_found(&what),
            ("GET", Some(object)) if target.subresource == Some("scale") => {
                Answer::ok(scale(&object))
            }
            ("GET", Some(object)) => Answer::ok(object),
            ("PUT", Some(old)) => self.replace(target.kind, key.1, &old, body),
            ("PATCH", Some(old)) => {
                let new = patched(&old, body);
                let mut answer = self.replace(target.kind, key.1, &old, new);
                if target.subresource == Some("scale") {
                    answer.body = scale(&answer.body);
                }
                answer
            }
            ("DELETE", Some(old)) => {
                self.delete(&key);
                Answer::ok(old)
            }
            (method, Some(_)) => panic!("{method} {what}"),
        }
    }

    fn list(&self, kind: &Kind, namespace: &str, query: &BTreeMap<String, String>) -> Value {
        let name = query
            .get("fieldSelector")
            .and_then(|fields| fields.strip_prefix("metadata.name="));
        let labels = query.get("labelSelector").map_or("", String::as_str);
        let labels = labels.split(',').filter_map(|label| label.split_once('='));
        let items = self.objects.iter().filter(|(key, object)| {
            key.0 == kind.name
                && (namespace.is_empty() || key.1 == namespace)
                && name.is_none_or(|name| key.2 == name)
                && labels
                    .clone()
                    .all(|(name, value)| object["metadata"]["labels"][name] == value)
        });
        json!({
            "kind": format!("{}List", kind.name),
            "apiVersion": kind.api_version(),
            "metadata": { "resourceVersion": self.version.to_string() },
            "items": items.map(|(_, object)| object).collect::<Vec<_>>(),
        })
    }

    fn replace(&mut self, kind: &Kind, namespace: String, old: &Value, new: Value) -> Answer {
        let fields = immutable(kind.name, &with_defaults(kind, new.clone()));
        if fields != immutable(kind.name, old) {
            let name = &new["metadata"]["name"];
            return Answer::invalid(&format!(
                "{} {name} has fields that can't be changed",
                kind.name
            ));
        }
        Answer::ok(self.put(kind, namespace, new))
    }

    fn put(&mut self, kind: &Kind, namespace: String, object: Value) -> Value {
        self.version += 1;
        let mut object = with_defaults(kind, object);
        let metadata = &mut object["metadata"];
        let name = metadata["name"].as_str().unwrap().to_owned();
        if kind.namespaced {
            metadata["namespace"] = json!(namespace);
        }
        metadata["uid"] = json!(format!("{}-{namespace}-{name}", kind.plural));
        metadata["resourceVersion"] = json!(self.version.to_string());
        metadata["generation"] = json!(self.version);
        if let Some(status) = status(kind.name, &object, self.version) {
            object["status"] = status;
        }
        for claim in list(&object["spec"]["volumeClaimTemplates"]) {
            let mut claim = claim.clone();
            let of_pod = format!("{}-{name}-0", claim["metadata"]["name"].as_str().unwrap());
            claim["metadata"]["name"] = json!(of_pod);
            let key = ("PersistentVolumeClaim", namespace.clone(), of_pod);
            self.objects.entry(key).or_insert(claim);
        }
        let key = (kind.name, namespace, name);
        self.objects.insert(key, object.clone());
        object
    }

    /// Deletes an object, and with a namespace all that is in it.
    fn delete(&mut self, key: &Key) {
        self.objects.remove(key);
        if key.0 == "Namespace" {
            self.objects
                .retain(|(_, namespace, _), _| *namespace != key.2);
        }
    }
}

/// What an object becomes by a patch. That of `kubectl apply` has all that was applied, beside the difference; others are
/// small enough to be merged as RFC 7386 says.
fn patched(old: &Value, patch: Value) -> Value {
    let applied = patch["metadata"]["annotations"][LAST_APPLIED].as_str();
    let Some(applied) = applied else {
        let mut new = old.clone();
        merge(&mut new, patch);
        return new;
    };
    let mut new: Value = serde_json::from_str(applied).unwrap();
    new["metadata"]["annotations"][LAST_APPLIED] = json!(applied);
    new
}

fn merge(old: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *old = patch;
        return;
    };
    if !old.is_object() {
        *old = json!({});
    }
    let old = old.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            old.remove(&name);
        } else {
            merge(old.entry(name).or_insert(Value::Null), value);
        }
    }
}
