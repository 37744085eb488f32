//! Lists of users: pages as large as the cloud's, and what cuts them short.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Service;
use super::sdk::{self, Sdk};
use super::sdks::succeed;
use crate::support::{PATIENCE, SAMPLE_ACCOUNT, untag};

/// A store with so many users, every third of whom has the tag `third`, and all the tag `all`.
fn users(count: usize) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let line = |number: usize| {
        let mut tags = json!({"all": ""});
        if number.is_multiple_of(3) {
            tags["third"] = "yes".into();
        }
        let user = json!({
            "account_id": SAMPLE_ACCOUNT, "resource_type": "user", "resource_id": format!("{number:018}"),
            "principal_name": format!("user-{number}@example.com"), "tags": tags,
        });
        format!("{user}\n")
    };
    let file = directory.path().join("users.jsonl");
    fs::write(&file, (1..=count).map(line).collect::<String>()).unwrap();
    let mut import = untag();
    import
        .arg("import")
        .arg(&file)
        .arg("--data-dir")
        .arg(directory.path());
    assert!(import.output().unwrap().status.success());
    directory
}

fn serve(directory: &TempDir, arguments: &[&str]) -> Service {
    let mut store = untag();
    store.env("UNTAG_DATA_DIR", directory.path());
    Service::on(store, arguments)
}

/// The ids of a page of an answer.
fn ids(body: &Value, list: &str, element: &str) -> Vec<String> {
    let users = body[list][element].as_array().unwrap();
    let ids = users
        .iter()
        .map(|user| user["UserId"].as_str().unwrap().to_owned());
    ids.collect()
}

/// The sizes of all pages, and that each user is in one of them.
fn pages(sdk: &mut Sdk, action: &str, request: &Value, element: &str, all: usize) -> Vec<usize> {
    let mut request = request.clone();
    let (mut sizes, mut seen) = (Vec::new(), BTreeSet::new());
    loop {
        let body = succeed(sdk, action, &request);
        let page = ids(&body, &format!("{element}s"), element);
        sizes.push(page.len());
        seen.extend(page);
        assert_eq!(
            body["IsTruncated"],
            json!(body["Marker"].is_string()),
            "{body}"
        );
        if body["IsTruncated"] == false {
            assert_eq!((seen.len(), sizes.iter().sum()), (all, all));
            return sizes;
        }
        request["Marker"] = body["Marker"].clone();
    }
}

#[test]
fn a_page_has_as_many_users_as_the_cloud_gives() {
    let directory = users(1_150);
    let service = serve(&directory, &[]);
    for sdk in &mut sdk::all(service.rpc) {
        let everyone = json!({});
        assert_eq!(
            pages(sdk, "ListUsers", &everyone, "User", 1_150),
            [1_000, 150]
        );
        let some = json!({"MaxItems": 450});
        assert_eq!(
            pages(sdk, "ListUsers", &some, "User", 1_150),
            [450, 450, 250]
        );
        let infos = pages(sdk, "ListUserBasicInfos", &everyone, "UserBasicInfo", 1_150);
        assert_eq!(infos, [[100; 11].as_slice(), &[50]].concat());
        let both = json!({"Tag": [{"Key": "all"}, {"Key": "third", "Value": "yes"}]});
        let thirds = pages(sdk, "ListUsers", &both, "User", 383);
        assert!(thirds.len() <= 2, "{thirds:?}");
        let neither = json!({"Tag": [{"Key": "all"}, {"Key": "third", "Value": "no"}]});
        pages(sdk, "ListUsers", &neither, "User", 0);
        let frozen = succeed(sdk, "ListUsers", &json!({"Status": "freeze"}));
        assert_eq!(frozen["Users"]["User"], json!([]), "{frozen}");
        assert_eq!(frozen["IsTruncated"], false, "{frozen}");
        let any = json!({"Status": "active,freeze", "MaxItems": 1});
        assert_eq!(
            ids(&succeed(sdk, "ListUsers", &any), "Users", "User").len(),
            1
        );
    }
}

#[test]
fn a_page_ends_where_its_next_part_is_refused() {
    let directory = users(250);
    let service = serve(&directory, &["--max-caller-rate", "1"]);
    let [mut sdk, _] = sdk::all(service.rpc);
    let mut seen = BTreeSet::new();
    let mut request = json!({});
    let deadline = Instant::now() + PATIENCE;
    let mut are_cut_short = false;
    loop {
        let answer = sdk.call("ListUsers", &request);
        assert!(Instant::now() < deadline, "{answer}");
        if answer["code"] == "Throttling.User" {
            thread::sleep(Duration::from_millis(100));
            continue;
        }
        assert_eq!(answer["status"], 200, "{answer}");
        let body = &answer["body"];
        seen.extend(ids(body, "Users", "User"));
        if body["IsTruncated"] == false {
            break;
        }
        are_cut_short = true;
        request["Marker"] = body["Marker"].clone();
    }
    assert!(are_cut_short && seen.len() == 250, "{}", seen.len());
}
