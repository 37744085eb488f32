//! What no validator knows: that the manifests fit the program and each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::rendering::{
    Manifests, SERVERS, container, documents, file, init_containers, labels, list, named, pod,
    rendered, strings, with_server,
};
use crate::support::run;

/// The variables that a subcommand knows.
fn known_variables(subcommand: &str) -> BTreeSet<String> {
    let help = String::from_utf8(run(&[subcommand, "--help"]).stdout).unwrap();
    // A narrow terminal breaks lines between the words.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let variables = help.split("[env: ").skip(1);
    variables
        .map(|rest| rest.split([']', '=']).next().unwrap().to_owned())
        .collect()
}

/// The workloads of all renderings: what has pods.
fn workloads() -> impl Iterator<Item = (&'static Manifests, &'static Value)> {
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
fn containers() -> impl Iterator<Item = (&'static Manifests, &'static Value)> {
    workloads().flat_map(|(manifests, workload)| {
        let all = init_containers(workload)
            .iter()
            .chain([container(workload)]);
        all.map(move |container| (manifests, container))
    })
}

/// Those that run the service.
fn servers() -> impl Iterator<Item = (&'static Manifests, &'static Value)> {
    workloads().filter(|(_, workload)| workload["kind"] != "Job")
}

/// The value of a variable that a container has itself.
fn variable<'value>(container: &'value Value, name: &str) -> &'value str {
    variable_if_there(container, name).unwrap_or_else(|| panic!("no {name}"))
}

fn variable_if_there<'value>(container: &'value Value, name: &str) -> Option<&'value str> {
    let mut variables = list(&container["env"]).iter();
    let found = variables.find(|variable| variable["name"] == name)?;
    found["value"].as_str()
}

/// The port at the end of an address or a URL.
fn port_of(address: &str) -> u64 {
    number(address.rsplit_once(':').unwrap().1)
}

/// The ports that the policies of the network open: `ingress` or `egress`.
fn opened(manifests: &Manifests, direction: &str) -> BTreeSet<u64> {
    let policies = manifests.of("NetworkPolicy");
    let rules = policies.flat_map(|policy| list(&policy["spec"][direction]));
    let ports = rules.flat_map(|rule| list(&rule["ports"]));
    ports.map(|port| port["port"].as_u64().unwrap()).collect()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

fn selects(selector: &BTreeMap<&str, &str>, labels: &BTreeMap<&str, &str>) -> bool {
    selector
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}

#[test]
fn the_program_knows_every_subcommand_and_variable() {
    let mut seen = BTreeSet::new();
    for (manifests, container) in containers() {
        let arguments: Vec<&str> = list(&container["args"])
            .iter()
            .map(|argument| argument.as_str().unwrap())
            .collect();
        let ([subcommand] | [subcommand, "-"]) = arguments[..] else {
            panic!("settings are variables, not arguments: {arguments:?}")
        };
        let known = known_variables(subcommand);
        assert!(known.contains("UNTAG_STORE"), "{known:?}");
        let own = list(&container["env"]).iter();
        let own = own.map(|variable| variable["name"].as_str().unwrap());
        let maps = list(&container["envFrom"]).iter().flat_map(|source| {
            let map = manifests.get("ConfigMap", &source["configMapRef"]["name"]);
            strings(&map.unwrap()["data"]).into_keys()
        });
        for name in own.chain(maps) {
            assert!(
                // Only builds that can trace know where to.
                known.contains(name)
                    || (name == "OTEL_EXPORTER_OTLP_ENDPOINT" && !cfg!(feature = "otlp")),
                "{}: {subcommand} does not know {name}",
                manifests.name
            );
            seen.insert(name);
        }
    }
    assert!(seen.len() >= 12, "{seen:?}");
}

#[test]
fn the_grace_period_is_long_enough_for_the_whole_end() {
    let seconds = |source: &str, name: &str| {
        let (_, rest) = source
            .split_once(&format!("const {name}: Duration = Duration::from_secs("))
            .unwrap();
        number(rest.split(')').next().unwrap())
    };
    let audit = seconds(include_str!("../../src/cli/serve.rs"), "AUDIT_PATIENCE");
    let spans = seconds(include_str!("../../src/telemetry/otlp.rs"), "FLUSH_TIMEOUT");
    for (manifests, workload) in servers() {
        let container = container(workload);
        let sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            .as_u64()
            .unwrap();
        let drain = number(variable(container, "UNTAG_DRAIN_TIMEOUT"));
        let request = number(variable(container, "UNTAG_REQUEST_TIMEOUT"));
        let grace = pod(workload)["terminationGracePeriodSeconds"]
            .as_u64()
            .unwrap();
        assert!(request < drain, "{}", manifests.name);
        let end = sleep + drain + audit + spans;
        assert!(end + 3 <= grace, "{}", manifests.name);
    }
}

#[test]
fn postgresql_has_a_connection_for_every_replica_that_there_may_be() {
    // Of the default max_connections, without superuser_reserved_connections.
    const CONNECTIONS: u64 = 100 - 3;
    for manifests in with_server() {
        let Some(autoscaler) = manifests.of("HorizontalPodAutoscaler").next() else {
            continue;
        };
        let deployment = manifests.only("Deployment");
        assert_eq!(
            autoscaler["spec"]["scaleTargetRef"]["name"],
            deployment["metadata"]["name"],
        );
        assert!(deployment["spec"]["replicas"].is_null(), "the autoscaler's");
        let count = |value: &Value| value.as_u64().unwrap();
        let surge = count(&deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]);
        // The surge does not count those that are ending, and the next one may end before they are gone.
        let grace = count(&pod(deployment)["terminationGracePeriodSeconds"]);
        let ending = grace.div_ceil(count(&deployment["spec"]["minReadySeconds"]));
        let replicas = count(&autoscaler["spec"]["maxReplicas"]) + surge + ending;
        let each = number(variable(container(deployment), "UNTAG_STORE_CONNECTIONS"));
        assert!(replicas * each < CONNECTIONS, "and one for an import");
    }
    assert!(
        named("postgres+all")
            .of("HorizontalPodAutoscaler")
            .next()
            .is_some()
    );
}

#[test]
fn services_and_policies_find_the_pods_and_ports() {
    for (manifests, workload) in servers() {
        let served = labels(workload);
        let ports = list(&container(workload)["ports"]);
        let listening = [
            ("grpc", "UNTAG_LISTEN"),
            ("admin", "UNTAG_ADMIN_LISTEN"),
            ("rpc", "UNTAG_LISTEN_RPC"),
        ];
        let listening: BTreeMap<&str, u64> = listening
            .into_iter()
            .filter_map(|(name, listen)| {
                let address = variable_if_there(container(workload), listen)?;
                Some((name, port_of(address)))
            })
            .collect();
        let declared: BTreeMap<&str, u64> = ports
            .iter()
            .map(|port| {
                let number = port["containerPort"].as_u64().unwrap();
                (port["name"].as_str().unwrap(), number)
            })
            .collect();
        assert_eq!(declared, listening, "{}", manifests.name);
        let ingress = opened(manifests, "ingress");
        let ours: BTreeSet<u64> = listening.values().copied().collect();
        assert!(ingress.is_subset(&ours), "{}: {ingress:?}", manifests.name);
        if let Some(collector) =
            variable_if_there(container(workload), "OTEL_EXPORTER_OTLP_ENDPOINT")
        {
            let egress = opened(manifests, "egress");
            let collector = port_of(collector);
            assert!(egress.contains(&collector), "{}", manifests.name);
        }
        let selector = strings(&workload["spec"]["selector"]["matchLabels"]);
        assert!(selects(&selector, &served), "{}", manifests.name);
        for service in manifests.of("Service") {
            let selector = strings(&service["spec"]["selector"]);
            assert!(selects(&selector, &served), "{}", manifests.name);
            // An import takes no calls.
            let jobs = manifests
                .of("Job")
                .any(|job| selects(&selector, &labels(job)));
            assert!(!jobs, "{}", manifests.name);
            for port in list(&service["spec"]["ports"]) {
                let served = listening[port["targetPort"].as_str().unwrap()];
                assert_eq!(port["port"], served, "one number is enough to remember");
                assert!(ingress.contains(&served), "{}: {port}", manifests.name);
            }
        }
        for policy in manifests.of("NetworkPolicy") {
            let selector = strings(&policy["spec"]["podSelector"]["matchLabels"]);
            assert!(selects(&selector, &served), "{}", manifests.name);
        }
        if workload["kind"] == "StatefulSet" {
            assert!(
                manifests
                    .get("Service", &workload["spec"]["serviceName"])
                    .is_some()
            );
        }
    }
}

#[test]
fn pods_run_this_version_and_are_spared_the_variables_of_services() {
    for (manifests, container) in containers() {
        let image = container["image"].as_str().unwrap();
        let (_, version) = image.rsplit_once(':').unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"), "{}", manifests.name);
    }
    for (manifests, workload) in workloads() {
        let pod = pod(workload);
        assert_eq!(pod["enableServiceLinks"], false, "{}", manifests.name);
        // That of an import comes with the service.
        let account = &pod["serviceAccountName"];
        let mut installed = rendered().iter();
        assert!(installed.any(|manifests| manifests.get("ServiceAccount", account).is_some()));
    }
}

#[test]
fn every_container_may_do_as_little() {
    let rights = |container: &'static Value| &container["securityContext"];
    let (_, first) = containers().next().unwrap();
    assert_eq!(rights(first)["readOnlyRootFilesystem"], true);
    for (manifests, container) in containers() {
        assert_eq!(rights(container), rights(first), "{}", manifests.name);
    }
}

#[test]
fn the_schema_is_brought_up_to_date_before_whatever_uses_the_database() {
    let mut seen = 0;
    for (manifests, workload) in workloads() {
        let before = init_containers(workload);
        let database = |container: &Value| {
            let variables = list(&container["env"]).iter();
            let of_store = variables.filter(|variable| {
                let name = variable["name"].as_str().unwrap();
                name == "UNTAG_STORE" || name == "UNTAG_STORE_PASSWORD_FILE"
            });
            of_store.cloned().collect::<Vec<Value>>()
        };
        let used = database(container(workload));
        if used.is_empty() {
            assert!(before.is_empty(), "{}", manifests.name);
            continue;
        }
        seen += 1;
        let [migrate] = before else {
            panic!("{} does not migrate", manifests.name)
        };
        assert_eq!(migrate["args"], json!(["migrate"]));
        assert_eq!(database(migrate), used, "{}", manifests.name);
    }
    assert!(seen >= 9, "{seen}");
}

#[test]
fn a_stateful_set_replaces_a_pod_that_is_never_ready_and_keeps_its_volume() {
    for (manifests, workload) in servers() {
        if workload["kind"] == "StatefulSet" {
            let spec = &workload["spec"];
            assert_eq!(
                spec["podManagementPolicy"], "Parallel",
                "{}",
                manifests.name
            );
            let kept = json!({ "whenDeleted": "Retain", "whenScaled": "Retain" });
            assert_eq!(spec["persistentVolumeClaimRetentionPolicy"], kept);
        }
    }
    assert!(named("embedded").of("StatefulSet").next().is_some());
}

/// The scheduler passes over a node that lacks the label of any constraint, for all of them.
#[test]
fn replicas_are_spread_over_nodes_whether_they_have_a_zone_or_not() {
    for (manifests, workload) in servers() {
        if workload["kind"] == "StatefulSet" {
            continue;
        }
        let constraints = list(&pod(workload)["topologySpreadConstraints"]);
        let keys: Vec<&Value> = constraints
            .iter()
            .map(|each| &each["topologyKey"])
            .collect();
        assert_eq!(keys, ["kubernetes.io/hostname"], "{}", manifests.name);
        let apart = &pod(workload)["affinity"]["podAntiAffinity"];
        assert!(apart["requiredDuringSchedulingIgnoredDuringExecution"].is_null());
        let preferred = list(&apart["preferredDuringSchedulingIgnoredDuringExecution"]);
        for selector in [
            &constraints[0]["labelSelector"],
            &preferred[0]["podAffinityTerm"]["labelSelector"],
        ] {
            let selector = strings(&selector["matchLabels"]);
            assert!(selects(&selector, &labels(workload)), "{}", manifests.name);
        }
    }
    assert!(named("postgres").of("Deployment").next().is_some());
}

#[test]
fn the_certificate_has_the_names_that_callers_use() {
    let mut seen = 0;
    for manifests in with_server() {
        let Some(certificate) = manifests.get("Certificate", &json!("untag")) else {
            continue;
        };
        seen += 1;
        let namespace = certificate["metadata"]["namespace"].as_str().unwrap();
        let names = list(&certificate["spec"]["dnsNames"]);
        for service in manifests.of("Service") {
            let ports = list(&service["spec"]["ports"]);
            let Some(port) = ports.iter().find(|port| port["name"] == "grpc") else {
                continue;
            };
            assert_eq!(port["appProtocol"], "https", "{}", manifests.name);
            let service = service["metadata"]["name"].as_str().unwrap();
            for end in ["", ".svc", ".svc.cluster.local"] {
                let name = format!("{service}.{namespace}{end}");
                assert!(names.contains(&json!(name)), "{}: {name}", manifests.name);
            }
        }
        let secret = &certificate["spec"]["secretName"];
        let volumes = list(&pod(manifests.server())["volumes"]);
        assert!(
            volumes
                .iter()
                .any(|volume| volume["secret"]["secretName"] == *secret)
        );
        for certificate in manifests.of("Certificate") {
            let issuer = &certificate["spec"]["issuerRef"]["name"];
            assert!(manifests.get("Issuer", issuer).is_some(), "{issuer}");
        }
    }
    assert!(seen >= 5, "{seen}");
}

#[test]
fn monitoring_scrapes_the_admin_port_and_has_the_alerts_of_prometheus() {
    let rules = fs::read_to_string(file("deploy/prometheus/rules.yaml")).unwrap();
    let rules = &documents(&rules)[0];
    for name in ["embedded+monitoring", "example-postgres"] {
        let manifests = named(name);
        let copied = &manifests.only("PrometheusRule")["spec"];
        assert_eq!(copied, rules, "run scripts/prometheus-rule");

        let monitor = &manifests.only("ServiceMonitor")["spec"];
        let selector = strings(&monitor["selector"]["matchLabels"]);
        let services: Vec<&Value> = manifests
            .of("Service")
            .filter(|service| selects(&selector, &strings(&service["metadata"]["labels"])))
            .collect();
        let [service] = services[..] else {
            panic!("each replica is scraped once: {services:?}")
        };
        let scraped = &list(&monitor["endpoints"])[0]["port"];
        let port = &list(&service["spec"]["ports"])[0];
        assert_eq!(port["name"], *scraped);
        assert_eq!(port["targetPort"], "admin");
    }
}
