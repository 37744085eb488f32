//! The pods, and where they run.

use serde_json::{Value, json};

use super::rendering::{
    container, containers, init_containers, labels, list, named, pod, rendered, selects, servers,
    strings, workloads,
};

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
                name == "UNTAG_STORE_FILE" || name == "UNTAG_STORE_PASSWORD_FILE"
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
