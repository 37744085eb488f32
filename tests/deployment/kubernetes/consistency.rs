//! The consistency of the manifests with the program and each other, which no validator knows of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use super::rendering::{
    Manifests, container, containers, documents, file, labels, list, named, pod, selects, servers,
    strings, with_server,
};
use crate::support::help;

/// The variables that a subcommand knows.
fn known_variables(subcommand: &str) -> BTreeSet<String> {
    // Lines are broken between the words.
    let help = help(&[subcommand]);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let variables = help.split("[env: ").skip(1);
    variables
        .map(|rest| rest.split([']', '=']).next().unwrap().to_owned())
        .collect()
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
    let audit = seconds(include_str!("../../../src/cli/serve.rs"), "AUDIT_PATIENCE");
    let spans = seconds(
        include_str!("../../../src/telemetry/otlp.rs"),
        "FLUSH_TIMEOUT",
    );
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

/// The lines of the sum in deploy/kubernetes/pod/server.yaml: numbers of MiB, and what each is for.
fn sum_of_memory() -> Vec<(u64, String)> {
    let text = fs::read_to_string(file("deploy/kubernetes/pod/server.yaml")).unwrap();
    let (_, text) = text.split_once("What it holds at most, in MiB:").unwrap();
    let (text, _) = text.split_once("memory: ").unwrap();
    let lines = text.lines().filter_map(|line| {
        let line = line.trim().trim_start_matches('#').trim_start();
        let (number, what) = line.split_once([' ', ','])?;
        Some((number.parse().ok()?, what.trim().to_owned()))
    });
    lines.collect()
}

/// A constant in the program's text, such as `32 << 20` or `4 * 1024 * 1024`.
fn constant(source: &str, name: &str) -> u64 {
    let (_, rest) = source.split_once(&format!("const {name}: ")).unwrap();
    let (_, value) = rest.split(';').next().unwrap().split_once("= ").unwrap();
    match value.split_once(" << ") {
        Some((value, bits)) => number(value) << number(bits),
        None => value.split(" * ").map(number).product(),
    }
}

#[test]
fn the_memory_of_a_pod_is_the_sum_of_what_it_may_hold() {
    let lines = sum_of_memory();
    let size = |what: &str| {
        let line = lines.iter().find(|(_, text)| text.contains(what));
        line.unwrap_or_else(|| panic!("{what}: {lines:?}")).0
    };
    let (total, parts) = lines.split_last().unwrap();
    assert_eq!(parts.iter().map(|(size, _)| size).sum::<u64>(), total.0);

    let ring = include_str!("../../../src/service/feed/ring.rs");
    assert_eq!(size("feed"), constant(ring, "ALL_BYTES") >> 20);
    let fresh = include_str!("../../../src/store/sqlite/log/changes/fresh.rs");
    assert_eq!(size("audit"), constant(fresh, "MOST_BYTES") >> 20);
    let log = include_str!("../../../src/telemetry/appender.rs");
    assert_eq!(size("lines"), constant(log, "MOST_WAITING") >> 20);
    let schema = include_str!("../../../src/store/sqlite/format/schema.rs");
    assert_eq!(size("writer"), constant(schema, "WRITER_CACHE_KIB") >> 10);
    assert_eq!(size("index"), total.0 / 4);
    let attacks = include_str!("../attacks/limited.rs");
    assert_eq!(constant(attacks, "LIMIT") >> 20, total.0);

    for (manifests, workload) in servers() {
        let container = container(workload);
        let name = &manifests.name;
        assert_eq!(
            container["resources"]["limits"]["memory"],
            format!("{}Mi", total.0),
            "{name}"
        );
        let listening = ["UNTAG_LISTEN", "UNTAG_LISTEN_RPC"].into_iter();
        let listening = listening.filter(|name| variable_if_there(container, name).is_some());
        let each = number(variable(container, "UNTAG_MAX_CONNECTIONS"));
        let connections = each * listening.count() as u64;
        assert_eq!(connections * 35 / 1024 + 1, size("TLS"), "{name}");
        for other in ["UNTAG_MAX_HELD_BYTES", "UNTAG_INDEX_MEMORY"] {
            assert!(
                variable_if_there(container, other).is_none(),
                "{name}: {other}"
            );
        }
    }
    let text = help(&["serve"]);
    let default = text.split("UNTAG_MAX_HELD_BYTES").nth(1).unwrap();
    let default = default.split("[default: ").nth(1).unwrap();
    assert_eq!(
        size("max-held-bytes"),
        number(default.split(']').next().unwrap()) >> 20
    );
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
