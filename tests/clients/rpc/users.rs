//! Users by the official SDKs and by hand: how programs create, read, change, delete and restore them.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::sdk::{self, Sdk};
use super::sdks::{refused, succeed};
use super::signed::{Request, code};
use super::{KEY_ID, SECRET, Service, key, key_file};
use crate::support::postgres::shared;
use crate::support::{ALICE, untag};

const DORA: &str = "dora@example.onaliyun.com";
const NORA: &str = "nora@example.onaliyun.com";
const MISSING: &str = "EntityNotExist.User";
const EXISTS: &str = "EntityAlreadyExists.User";

/// The day of a user from the creation to the end, as a program with an SDK makes it.
fn a_day(sdk: &mut Sdk) {
    let id = create(sdk);
    read(sdk, &id);
    untag_and_rename(sdk, &id);
    delete_and_restore(sdk, &id);
}

fn create(sdk: &mut Sdk) -> String {
    let tags = json!([{"Key": "env", "Value": "test"}, {"Key": "team", "Value": "payments"}]);
    let request = json!({
        "UserPrincipalName": DORA, "DisplayName": "Dora", "Comments": "一 <&> two", "Email": "dora@example.com", "Tag": tags,
    });
    let created = succeed(sdk, "CreateUser", &request)["User"].clone();
    let id = created["UserId"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 18, "{created}");
    let date = created["CreateDate"].as_str().unwrap();
    assert!(
        OffsetDateTime::parse(date, &Rfc3339).is_ok() && date.len() == 20,
        "{date}"
    );
    let tags =
        json!([{"TagKey": "env", "TagValue": "test"}, {"TagKey": "team", "TagValue": "payments"}]);
    let expected = json!({
        "UserId": id, "UserPrincipalName": DORA, "DisplayName": "Dora", "Comments": "一 <&> two", "CreateDate": date,
        "UpdateDate": date, "ProvisionType": "Manual", "Tags": {"Tag": tags},
    });
    assert_eq!(given(&created), expected);
    let same = json!({"UserPrincipalName": DORA.to_uppercase()});
    let answer = refused(sdk, "CreateUser", &same, 409, EXISTS);
    assert!(
        answer["message"].as_str().unwrap().contains("DORA@"),
        "{answer}"
    );
    id
}

/// A message of an SDK without the fields that are not set: that of Node.js has them.
fn given(message: &Value) -> Value {
    let mut message = message.clone();
    message
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    message
}

fn read(sdk: &mut Sdk, id: &str) {
    for by in [
        json!({"UserId": id}),
        json!({"UserPrincipalName": DORA.to_uppercase()}),
    ] {
        let user = succeed(sdk, "GetUser", &by)["User"].clone();
        let part = |name: &str| user[name].as_str().unwrap().to_owned();
        assert_eq!(
            [part("UserId"), part("UserPrincipalName"), part("UserName")],
            [id, DORA, "dora"]
        );
        assert_eq!(user["Tags"]["Tag"].as_array().unwrap().len(), 2, "{user}");
    }
    succeed(
        sdk,
        "CreateUser",
        &json!({"UserPrincipalName": "eve@example.onaliyun.com"}),
    );
    let by_tags = json!({"Tag": [{"Key": "team"}, {"Key": "env", "Value": "test"}]});
    let listed = succeed(sdk, "ListUsers", &by_tags);
    let users = listed["Users"]["User"].as_array().unwrap();
    assert_eq!(
        (users.len(), &listed["IsTruncated"]),
        (1, &json!(false)),
        "{listed}"
    );
    assert_eq!(
        (&users[0]["UserId"], &users[0]["Status"]),
        (&json!(id), &json!("active"))
    );
    let infos = succeed(sdk, "ListUserBasicInfos", &json!({"Status": "active"}));
    let infos = infos["UserBasicInfos"]["UserBasicInfo"].as_array().unwrap();
    let eve = infos
        .iter()
        .find(|info| info["UserPrincipalName"] == "eve@example.onaliyun.com");
    let eve = eve.unwrap_or_else(|| panic!("{infos:?}"));
    assert_eq!(
        (&eve["DisplayName"], &eve["Status"]),
        (&json!("eve"), &json!("active"))
    );
    let eve = json!({"UserId": eve["UserId"]});
    succeed(sdk, "DeleteUser", &eve);
}

fn untag_and_rename(sdk: &mut Sdk, id: &str) {
    let untag = json!({"ResourceType": "user", "ResourcePrincipalName": [DORA], "TagKey": ["env"]});
    succeed(sdk, "UntagResources", &untag);
    let rename =
        json!({"UserPrincipalName": DORA, "NewUserPrincipalName": NORA, "NewDisplayName": "Nora"});
    let user = succeed(sdk, "UpdateUser", &rename)["User"].clone();
    assert_eq!(
        (&user["UserId"], &user["UserPrincipalName"]),
        (&json!(id), &json!(NORA))
    );
    let comment = json!({"UserId": id, "NewComments": "left"});
    let user = succeed(sdk, "UpdateUser", &comment)["User"].clone();
    assert_eq!(
        (&user["DisplayName"], &user["Comments"]),
        (&json!("Nora"), &json!("left"))
    );
    refused(
        sdk,
        "GetUser",
        &json!({"UserPrincipalName": DORA}),
        404,
        MISSING,
    );
    refused(sdk, "UpdateUser", &rename, 404, MISSING);
}

fn delete_and_restore(sdk: &mut Sdk, id: &str) {
    let nora = json!({"UserPrincipalName": NORA});
    let by_id = json!({"UserId": id});
    succeed(sdk, "DeleteUser", &nora);
    for (action, request) in [
        ("GetUser", &nora),
        ("GetUser", &by_id),
        ("DeleteUser", &nora),
        ("DeleteUser", &by_id),
    ] {
        refused(sdk, action, request, 404, MISSING);
    }
    in_recycle_bin(sdk, id);
    succeed(sdk, "RestoreUserFromRecycleBin", &by_id);
    refused(sdk, "GetUserInRecycleBin", &by_id, 404, MISSING);
    let user = succeed(sdk, "GetUser", &nora)["User"].clone();
    let tags = json!([{"TagKey": "team", "TagValue": "payments"}]);
    assert_eq!(user["Tags"]["Tag"], tags, "{user}");
    refused(sdk, "RestoreUserFromRecycleBin", &by_id, 409, EXISTS);

    succeed(sdk, "DeleteUser", &by_id);
    let other = succeed(sdk, "CreateUser", &nora)["User"]["UserId"].clone();
    refused(sdk, "RestoreUserFromRecycleBin", &by_id, 409, EXISTS);
    succeed(sdk, "DeleteUser", &json!({"UserId": other}));
}

/// Sees that the deleted Nora is where the cloud has deleted users.
fn in_recycle_bin(sdk: &mut Sdk, id: &str) {
    let found = succeed(sdk, "GetUserInRecycleBin", &json!({"UserId": id}))["User"].clone();
    let date = |name: &str| OffsetDateTime::parse(found[name].as_str().unwrap(), &Rfc3339).unwrap();
    let kept = date("DeleteDate") - date("RecycleDate");
    assert_eq!(
        (&found["UserPrincipalName"], kept.whole_days()),
        (&json!(NORA), 30)
    );
    let ids = |body: &Value| -> Vec<Value> {
        let users = body["Users"]["User"].as_array().unwrap();
        users.iter().map(|user| user["UserId"].clone()).collect()
    };
    let all = ids(&succeed(sdk, "ListUsersInRecycleBin", &json!({})));
    assert!(all.len() > 1 && all.contains(&json!(id)), "{all:?}");
    let nora = json!({"Filter": format!("UserPrincipalName eq {NORA}")});
    let named = ids(&succeed(sdk, "ListUsersInRecycleBin", &nora));
    assert!(
        named.contains(&json!(id)) && named.len() < all.len(),
        "{named:?}"
    );
    let other = json!({"Filter": "UserPrincipalName eq nor"});
    assert!(ids(&succeed(sdk, "ListUsersInRecycleBin", &other)).is_empty());
}

#[test]
fn sdks_go_through_the_day_of_a_user() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = untag();
    store.env("UNTAG_DATA_DIR", directory.path());
    let service = Service::on(store, &[]);
    sdk::all(service.rpc).iter_mut().for_each(a_day);
}

#[test]
fn postgres_sdks_go_through_the_day_of_a_user() {
    let database = shared().database();
    let on_database = || {
        let mut command = untag();
        command.env("UNTAG_STORE", database.url());
        command
    };
    let mut migrate: Command = on_database();
    assert!(migrate.arg("migrate").status().unwrap().success());
    let service = Service::on(on_database(), &[]);
    sdk::all(service.rpc).iter_mut().for_each(a_day);
}

#[test]
fn sdks_go_through_the_day_of_a_user_in_front_of_the_cloud() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = untag();
    store.env("UNTAG_DATA_DIR", directory.path());
    let cloud = Service::on(store, &[]);
    let service = Service::in_front_of(&format!("http://{}", cloud.rpc));
    service.server.wait_for_log("ready");
    sdk::all(service.rpc).iter_mut().for_each(a_day);
}

#[test]
fn sdks_get_every_error_of_a_wrong_user() {
    let service = Service::start(&[]);
    let tag = |key: &str| json!({"Key": key, "Value": ""});
    let many: Vec<Value> = (1..=21).map(|number| tag(&format!("k{number}"))).collect();
    let name = "new@example.onaliyun.com";
    let wrong = [
        (
            "CreateUser",
            json!({"DisplayName": "x"}),
            "MissingParameter.UserPrincipalName",
            "UserPrincipalName: give",
        ),
        (
            "CreateUser",
            json!({"UserPrincipalName": "new"}),
            "InvalidParameter.UserPrincipalName",
            "\"new\"",
        ),
        (
            "CreateUser",
            json!({"UserPrincipalName": name, "DisplayName": "名".repeat(25)}),
            "InvalidParameter.DisplayName",
            "DisplayName: ",
        ),
        (
            "CreateUser",
            json!({"UserPrincipalName": name, "Comments": "c".repeat(129)}),
            "InvalidParameter.Comments",
            "Comments: ",
        ),
        (
            "CreateUser",
            json!({"UserPrincipalName": name, "Tag": many}),
            "NumberExceed.Tags",
            "Tag: 21 are too many",
        ),
        (
            "CreateUser",
            json!({"UserPrincipalName": name, "Tag": [tag("acs:a")]}),
            "InvalidParameter.TagKey",
            "Tag[",
        ),
        (
            "CreateUser",
            json!({"UserPrincipalName": name, "Tag": [tag("a"), tag("a")]}),
            "Duplicate.TagKey",
            "Tag.2.Key: ",
        ),
        (
            "GetUser",
            json!({}),
            "MissingParameter.UserId",
            "give UserId or UserPrincipalName",
        ),
        (
            "GetUser",
            json!({"UserAccessKeyId": "LTAI"}),
            "InvalidParameter.Request",
            "UserAccessKeyId: ",
        ),
        (
            "GetUser",
            json!({"UserId": "alice"}),
            "InvalidParameter.UserId",
            "UserId: ",
        ),
        (
            "DeleteUser",
            json!({"UserId": ALICE, "UserPrincipalName": name}),
            "InvalidParameter.Request",
            "exclude each other",
        ),
        (
            "DeleteUser",
            json!({"UserPrincipalName": "alice"}),
            "InvalidParameter.UserPrincipalName",
            "UserPrincipalName: ",
        ),
        (
            "UpdateUser",
            json!({"UserId": ALICE, "UserPrincipalName": name, "NewComments": "x"}),
            "InvalidParameter.Request",
            "exclude each other",
        ),
        (
            "UpdateUser",
            json!({"UserId": ALICE}),
            "InvalidParameter.Request",
            "give NewUserPrincipalName, NewDisplayName or NewComments",
        ),
        (
            "UpdateUser",
            json!({"UserId": ALICE, "NewComments": ""}),
            "InvalidParameter.Request",
            "NewComments: the value is empty",
        ),
        (
            "UpdateUser",
            json!({"UserId": ALICE, "NewUserPrincipalName": "alice"}),
            "InvalidParameter.UserPrincipalName",
            "NewUserPrincipalName: ",
        ),
        (
            "RestoreUserFromRecycleBin",
            json!({}),
            "MissingParameter.UserId",
            "give UserId",
        ),
        (
            "ListUsers",
            json!({"MaxItems": 1001}),
            "InvalidParameter.MaxItems",
            "MaxItems: give a number from 1 to 1000",
        ),
        (
            "ListUsersInRecycleBin",
            json!({"MaxItems": 101}),
            "InvalidParameter.MaxItems",
            "MaxItems: give a number from 1 to 100",
        ),
        (
            "ListUsersInRecycleBin",
            json!({"Filter": "UserId eq 7"}),
            "InvalidParameter.Request",
            "Filter: give UserPrincipalName eq",
        ),
        (
            "GetUserInRecycleBin",
            json!({}),
            "MissingParameter.UserId",
            "give UserId",
        ),
        (
            "ListUsers",
            json!({"Marker": "x"}),
            "InvalidParameter.Marker",
            "Marker: ",
        ),
        (
            "ListUsers",
            json!({"Status": "gone"}),
            "InvalidParameter.Request",
            "Status: give active, freeze",
        ),
        (
            "ListUsers",
            json!({"Tag": many}),
            "NumberExceed.Tags",
            "Tag: 21",
        ),
        (
            "ListUsers",
            json!({"Tag": [tag("a"), tag("a")]}),
            "Duplicate.TagKey",
            "Tag.2.Key",
        ),
        (
            "ListUserBasicInfos",
            json!({"Status": "active", "Tag": [tag("a")]}),
            "InvalidParameter.Request",
            "Status and Tag exclude each other",
        ),
    ];
    for sdk in &mut sdk::all(service.rpc) {
        for (action, request, code, reason) in &wrong {
            let answer = refused(sdk, action, request, 400, code);
            let message = answer["message"].as_str().unwrap();
            assert!(message.contains(reason), "{action} {request}: {message}");
        }
        let renamed = json!({"UserId": ALICE, "NewUserPrincipalName": "BOB@example.onaliyun.com"});
        refused(sdk, "UpdateUser", &renamed, 409, EXISTS);
    }
}

#[test]
fn what_is_misspelt_or_of_another_operation_changes_no_user() {
    let service = Service::start(&[]);
    let alice = format!("UserId={ALICE}");
    for (action, parameters, reason) in [
        ("DeleteUser", "userId=2073290024939201", "give UserId"),
        ("DeleteUser", &format!("{alice}&DryRun=true"), "no dry run"),
        (
            "UpdateUser",
            &format!("{alice}&NewDisplayname=x"),
            "give NewDisplayName",
        ),
        (
            "UpdateUser",
            &format!("{alice}&Comments=x"),
            "it has UserId, UserPrincipalName, NewUserPrincipalName",
        ),
        (
            "CreateUser",
            "UserPrincipalName=a%40b&Tags.1.Key=env",
            "give Tag.N.Key",
        ),
        ("ListUsers", "PageSize=3", "it has Marker, MaxItems"),
        (
            "UntagResources",
            &format!("{alice}&All=true"),
            "it has ResourceType",
        ),
    ] {
        let answer = Request::new(action, parameters).sign().send(&service);
        assert_eq!(
            code(&answer),
            (400, "InvalidParameter.Request".to_owned()),
            "{action}"
        );
        assert!(answer.body.contains(reason), "{}", answer.body);
    }
    let unknown = Request::new("CreateGroup", "GroupName=x")
        .sign()
        .send(&service);
    for there_is in [
        "UntagResources",
        "CreateUser",
        "ListUserBasicInfos",
        "RestoreUserFromRecycleBin",
    ] {
        assert!(unknown.body.contains(there_is), "{}", unknown.body);
    }
}

#[test]
fn answers_about_users_come_in_xml() {
    let service = Service::start(&[]);
    let ask = |action: &str, parameters: &str| {
        let query = format!("{parameters}&Format=XML");
        Request::new(action, &query).sign().send(&service)
    };
    let created = ask(
        "CreateUser",
        "UserPrincipalName=a%40b&Comments=%3C%26&Tag.1.Key=env&Tag.1.Value=%3E",
    );
    assert!(
        created.body.contains("<CreateUserResponse>"),
        "{}",
        created.body
    );
    let parts = "<Comments>&lt;&amp;</Comments>";
    let tags = "<Tags><Tag><TagKey>env</TagKey><TagValue>&gt;</TagValue></Tag></Tags>";
    assert!(
        created.body.contains(parts) && created.body.contains(tags),
        "{}",
        created.body
    );
    let listed = ask("ListUserBasicInfos", "Tag.1.Key=env&Tag.1.Value=%3E").body;
    let listed = listed.split_once("<UserBasicInfo>").unwrap().1;
    assert!(
        listed.starts_with("<DisplayName>a</DisplayName><Status>active</Status>"),
        "{listed}"
    );
    // What XML has no form for is refused, and there in JSON.
    ask("UpdateUser", "UserPrincipalName=a%40b&NewComments=%01");
    let lost = ask("GetUser", "UserPrincipalName=a%40b");
    assert_eq!(lost.code, 400);
    assert!(
        lost.body.contains("U+0001 in the comments of user"),
        "{}",
        lost.body
    );
}

#[test]
fn policies_and_the_audit_know_the_users_of_sdks() {
    let policies = tempfile::NamedTempFile::new().unwrap();
    let allow = |actions: &[&str]| json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]});
    let bind = |caller: &str, policy: &str| json!({"Callers": [caller], "Accounts": ["*"], "Policies": [policy]});
    let policy = json!({
        "Policies": {
            "all": allow(&["ram:*"]),
            "read": allow(&["ram:GetUser", "ram:ListUsers"]),
            "delete": allow(&["ram:DeleteUser"]),
        },
        "Bindings": [bind("key:cleaner", "all"), bind("key:reader", "read"), bind("key:deleter", "delete")],
    });
    fs::write(&policies, policy.to_string()).unwrap();
    let audit = tempfile::NamedTempFile::new().unwrap();
    let [policy, audit_log] = [&policies, &audit].map(|file| file.path().to_str().unwrap());
    let service = Service::start(&[
        "--policy",
        policy,
        "--audit-log",
        audit_log,
        "--reload-interval",
        "0.1",
    ]);
    let keys = ["reader", "deleter"].map(|caller| key(caller, SECRET, caller));
    fs::write(
        &service.keys,
        key_file(&[&[key(KEY_ID, SECRET, "cleaner")], &keys[..]].concat()),
    )
    .unwrap();
    service.server.wait_for_log("reloaded");

    let ask = |caller: &str, action: &str, parameters: &str| {
        Request::new(action, parameters)
            .sign_with(caller, SECRET)
            .send(&service)
    };
    let alice = "UserPrincipalName=alice%40example.onaliyun.com";
    let shown: Value = serde_json::from_str(&ask("reader", "GetUser", alice).body).unwrap();
    assert_eq!(shown["User"]["Tags"]["Tag"], json!([]), "{shown}");
    let by_tag = ask("reader", "ListUsers", "Tag.1.Key=team");
    assert_eq!(code(&by_tag), (403, "NoPermission".to_owned()));
    // A name is looked up, which the caller has to be allowed too; an id is not.
    let by_name = ask("deleter", "DeleteUser", alice);
    assert_eq!(code(&by_name), (403, "NoPermission".to_owned()));
    assert!(by_name.body.contains("ram:GetUser"), "{}", by_name.body);
    let gone = ask(
        KEY_ID,
        "DeleteUser",
        "UserPrincipalName=nobody%40example.onaliyun.com",
    );
    assert_eq!(code(&gone), (404, MISSING.to_owned()));
    assert_eq!(
        ask("deleter", "DeleteUser", &format!("UserId={ALICE}")).code,
        200
    );

    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(&audit).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &Value| line["action"] == "ram:DeleteUser")
            .collect()
    };
    crate::support::wait_until("the audit has all lines", || lines().len() == 3);
    let mut said: Vec<_> = lines()
        .iter()
        .map(|line| ["caller", "outcome"].map(|part| line[part].as_str().unwrap().to_owned()))
        .collect();
    said.sort();
    let expected = [
        ["key:cleaner", MISSING],
        ["key:deleter", "NoPermission"],
        ["key:deleter", "OK"],
    ];
    assert_eq!(said, expected.map(|line| line.map(str::to_owned)));
}
