//! Rendered manifests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde::Deserialize as _;
use serde_json::Value;

/// The kinds that run the service.
pub const SERVERS: [&str; 2] = ["Deployment", "StatefulSet"];

/// The manifests that a kustomization renders to.
pub struct Manifests {
    pub name: String,
    pub resources: Vec<Value>,
}

/// The documents of a YAML file.
pub fn documents(yaml: &str) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(yaml);
    documents
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// A file of the repository.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// All that `scripts/render-manifests` renders.
pub fn rendered() -> &'static [Manifests] {
    static RENDERED: LazyLock<Vec<Manifests>> = LazyLock::new(|| {
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new(file("scripts/render-manifests"))
            .arg(directory.path())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let files = fs::read_dir(directory.path()).unwrap();
        files
            .map(|file| Manifests::read(&file.unwrap().path()))
            .collect()
    });
    &RENDERED
}

/// The manifests that have a pod of the service.
pub fn with_server() -> impl Iterator<Item = &'static Manifests> {
    rendered().iter().filter(|manifests| {
        SERVERS
            .iter()
            .any(|kind| manifests.of(kind).next().is_some())
    })
}

/// The one with this name.
pub fn named(name: &str) -> &'static Manifests {
    let found = rendered().iter().find(|manifests| manifests.name == name);
    found.unwrap_or_else(|| panic!("{name} is not rendered"))
}

/// The workloads of all renderings: what has pods.
pub fn workloads() -> impl Iterator<Item = (&'static Manifests, &'static Value)> {
    rendered().iter().flat_map(|manifests| {
        let kinds = SERVERS.iter().chain(&["Job"]);
        kinds.flat_map(move |kind| {
            manifests
                .of(kind)
                .map(move |workload| (manifests, workload))
        })
    })
}

/// The containers of all renderings.
pub fn containers() -> impl Iterator<Item = (&'static Manifests, &'static Value)> {
    workloads().flat_map(|(manifests, workload)| {
        let all = init_containers(workload)
            .iter()
            .chain([container(workload)]);
        all.map(move |container| (manifests, container))
    })
}

/// The manifests that run the service.
pub fn servers() -> impl Iterator<Item = (&'static Manifests, &'static Value)> {
    workloads().filter(|(_, workload)| workload["kind"] != "Job")
}

impl Manifests {
    fn read(path: &Path) -> Self {
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            resources: documents(&fs::read_to_string(path).unwrap()),
        }
    }

    /// The resources of a kind.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.resources
            .iter()
            .filter(move |resource| resource["kind"] == kind)
    }

    /// The resource of a kind that is there once.
    #[track_caller]
    pub fn only(&self, kind: &str) -> &Value {
        let found: Vec<&Value> = self.of(kind).collect();
        assert_eq!(found.len(), 1, "{} of kind {kind}", self.name);
        found[0]
    }

    /// The one that runs the service.
    pub fn server(&self) -> &Value {
        let found = SERVERS.iter().find_map(|kind| self.of(kind).next());
        found.unwrap_or_else(|| panic!("no server in {}", self.name))
    }

    /// A resource by its kind and name.
    pub fn get(&self, kind: &str, name: &Value) -> Option<&Value> {
        self.of(kind)
            .find(|resource| resource["metadata"]["name"] == *name)
    }
}

/// The items of a list, none where there is no list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The pod of a workload.
pub fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]
}

/// The only container of a workload, beside those that run before it.
pub fn container(workload: &Value) -> &Value {
    let containers = list(&pod(workload)["containers"]);
    assert_eq!(containers.len(), 1);
    &containers[0]
}

/// The containers that run to their ends before it, in order.
pub fn init_containers(workload: &Value) -> &[Value] {
    list(&pod(workload)["initContainers"])
}

/// The labels of the pods of a workload.
pub fn labels(workload: &Value) -> BTreeMap<&str, &str> {
    strings(&workload["spec"]["template"]["metadata"]["labels"])
}

/// A map of texts; empty where there is none.
pub fn strings(value: &Value) -> BTreeMap<&str, &str> {
    let fields = value.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect()
}

/// Whether a selector finds what has these labels.
pub fn selects(selector: &BTreeMap<&str, &str>, labels: &BTreeMap<&str, &str>) -> bool {
    selector
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}
