//! A rendered container as a process: its arguments, its variables, and its volumes below a directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::rendering::{Manifests, container, init_containers, list, pod, strings};
use crate::support::{PATIENCE, Server, health_client};

/// What a test has in Secrets, and the cluster's authority: by name, each with its keys.
pub type Secrets = BTreeMap<&'static str, BTreeMap<&'static str, String>>;

/// The key of RFC 8037, appendix A.2.
const JWKS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// A container that can be started.
pub struct Container<'manifests> {
    manifests: &'manifests Manifests,
    specification: &'manifests Value,
    variables: BTreeMap<String, String>,
    volumes: TempDir,
}

impl<'manifests> Container<'manifests> {
    /// The container of a workload, with its volumes filled.
    pub fn of(
        manifests: &'manifests Manifests,
        workload: &'manifests Value,
        secrets: &Secrets,
    ) -> Self {
        Self::new(manifests, workload, container(workload), secrets)
    }

    /// Those that run before it.
    pub fn before(
        manifests: &'manifests Manifests,
        workload: &'manifests Value,
        secrets: &Secrets,
    ) -> Vec<Self> {
        let specifications = init_containers(workload).iter();
        specifications
            .map(|specification| Self::new(manifests, workload, specification, secrets))
            .collect()
    }

    fn new(
        manifests: &'manifests Manifests,
        workload: &'manifests Value,
        specification: &'manifests Value,
        secrets: &Secrets,
    ) -> Self {
        let mut container = Self {
            manifests,
            specification,
            variables: BTreeMap::new(),
            volumes: tempfile::tempdir().unwrap(),
        };
        for mount in list(&container.specification["volumeMounts"]) {
            let volumes = list(&pod(workload)["volumes"]);
            let claims = list(&workload["spec"]["volumeClaimTemplates"]);
            let volume = volumes
                .iter()
                .find(|volume| volume["name"] == mount["name"]);
            let claim = claims
                .iter()
                .find(|claim| claim["metadata"]["name"] == mount["name"]);
            container.fill(
                mount,
                volume.or(claim).expect("the volume is there"),
                secrets,
            );
        }
        container.variables = container.variables();
        container
    }

    /// The path on this machine of a path in the container.
    fn path(&self, mounted: &str) -> PathBuf {
        self.volumes.path().join(mounted.trim_start_matches('/'))
    }

    fn fill(&self, mount: &Value, volume: &Value, secrets: &Secrets) {
        let directory = self.path(mount["mountPath"].as_str().unwrap());
        fs::create_dir_all(&directory).unwrap();
        let files: BTreeMap<&str, &str> = if let Some(secret) = volume["secret"].as_object() {
            let keys = &secrets[secret["secretName"].as_str().unwrap()];
            let chosen = secret.get("items").map(list);
            let chosen = chosen.map(|items| {
                items
                    .iter()
                    .map(|item| {
                        (
                            item["path"].as_str().unwrap(),
                            keys[item["key"].as_str().unwrap()].as_str(),
                        )
                    })
                    .collect()
            });
            chosen.unwrap_or_else(|| {
                keys.iter()
                    .map(|(name, text)| (*name, text.as_str()))
                    .collect()
            })
        } else if volume["configMap"]["name"] == "kube-root-ca.crt" {
            let authority = secrets["kube-root-ca.crt"]["ca.crt"].as_str();
            [("ca.crt", authority)].into()
        } else if volume["configMap"].is_object() {
            let map = self
                .manifests
                .get("ConfigMap", &volume["configMap"]["name"]);
            strings(&map.expect("the ConfigMap is there")["data"])
        } else {
            let is_claim = volume["spec"]["accessModes"].is_array()
                || volume["persistentVolumeClaim"].is_object();
            assert!(is_claim, "a claim: {volume}");
            BTreeMap::new()
        };
        let mode = volume["secret"]["defaultMode"].as_u64().unwrap_or(0o644);
        for (name, text) in files {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            let mode = fs::Permissions::from_mode(u32::try_from(mode).unwrap());
            fs::set_permissions(path, mode).unwrap();
        }
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let maps = list(&self.specification["envFrom"])
            .iter()
            .flat_map(|source| {
                let map = self
                    .manifests
                    .get("ConfigMap", &source["configMapRef"]["name"]);
                strings(&map.expect("the ConfigMap is there")["data"])
            });
        let maps = maps.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let own = list(&self.specification["env"]).iter().map(|variable| {
            let text = |field: &str| variable[field].as_str().unwrap().to_owned();
            (text("name"), text("value"))
        });
        // The container's own come later, and win.
        maps.chain(own).collect()
    }

    /// The process that the kubelet would start, with the volumes elsewhere.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_untag"));
        let arguments = list(&self.specification["args"]).iter();
        command
            .args(arguments.map(|argument| argument.as_str().unwrap()))
            .env_clear();
        for (name, value) in &self.variables {
            let mounted = list(&self.specification["volumeMounts"]).iter();
            let mut mounted = mounted.map(|mount| mount["mountPath"].as_str().unwrap());
            if mounted.any(|path| Path::new(value).starts_with(path)) {
                command.env(name, self.path(value));
            } else {
                command.env(name, value);
            }
        }
        command
    }

    /// The variables as the program sees them.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Runs it to its end.
    pub fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Runs it to its end with this as its stdin, if it has one.
    pub fn run_with(&self, input: &str) -> Output {
        assert_eq!(self.specification["stdin"], true);
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Starts the service on the addresses of the manifests, but on free ports, and waits until it is ready.
    pub fn serve(&self) -> Server {
        let mut command = self.command();
        for name in ["UNTAG_LISTEN", "UNTAG_ADMIN_LISTEN", "UNTAG_LISTEN_RPC"] {
            let Some(address) = self.variable(name) else {
                continue;
            };
            let (address, _) = address.rsplit_once(':').unwrap();
            command.env(name, format!("{address}:0"));
        }
        // No name of the cluster is looked up here: a collector that is gone costs nothing but spans, and keys can be a file.
        if self.variable(OTLP_ENDPOINT).is_some() {
            command.env(OTLP_ENDPOINT, "http://127.0.0.1:1");
        }
        if self.variable("UNTAG_JWKS").is_some() {
            let path = self.volumes.path().join("jwks.json");
            fs::write(&path, JWKS).unwrap();
            command.env("UNTAG_JWKS", path);
        }
        // The audit.
        command.stdout(Stdio::null());
        Server::spawn_as_it_is(command)
    }

    /// Asks what a probe asks, as the kubelet does: gRPC without TLS, to the container's own address.
    pub async fn probe(&self, server: &Server, name: &str) -> bool {
        let probe = &self.specification[name];
        let admin = self.variable("UNTAG_ADMIN_LISTEN").unwrap();
        let (_, port) = admin.rsplit_once(':').unwrap();
        assert_eq!(probe["grpc"]["port"].to_string(), port, "{name}");
        let service = probe["grpc"]["service"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let timeout = Duration::from_secs(probe["timeoutSeconds"].as_u64().unwrap());
        let asked = async {
            let mut client = health_client(server.admin_address).await;
            client.check(HealthCheckRequest { service }).await
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(answer)) => answer.into_inner().status() == ServingStatus::Serving,
            Ok(Err(status)) => panic!("{name}: {status}"),
            Err(_) => false,
        }
    }

    /// Waits until a probe succeeds, or fails.
    pub async fn wait_for_probe(&self, server: &Server, name: &str, wanted: bool) {
        let started = Instant::now();
        while self.probe(server, name).await != wanted {
            assert!(started.elapsed() < PATIENCE, "{name} is not {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The directory of the embedded store.
    pub fn data(&self) -> PathBuf {
        self.path(self.variable("UNTAG_DATA_DIR").unwrap())
    }
}
