//! Every error that a caller can get, with all its details. The snapshots are the error table of the contract.

use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use untag::grpc::proto::{ListTagResourcesRequest, TagResourcesRequest, UntagResourcesRequest};

use super::answer::{alibaba_codes, assert_shared_snapshot, case};
use super::users::{
    ACCOUNT_METADATA, ANN, Client, Users, ask, filter_request, ids, list_request, names, server,
    tag_request, untag_request,
};

const KEYS_21: [&str; 21] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s",
    "t", "u",
];

async fn untag_error(client: &mut Client, request: UntagResourcesRequest) -> Status {
    client.untag_resources(ask(request)).await.unwrap_err()
}

#[tokio::test]
async fn untag_names_each_fault() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let good = || untag_request(ids([ANN]), &["env"]);
    let of = |users: Users| untag_request(users, &["env"]);
    let keys = |keys: &[&str]| untag_request(ids([ANN]), keys);
    let cases = [
        (
            "resource type",
            UntagResourcesRequest {
                resource_type: "group".into(),
                ..good()
            },
        ),
        (
            "no resources",
            UntagResourcesRequest {
                resources: None,
                ..good()
            },
        ),
        ("empty ids", of(ids::<u8>([]))),
        ("empty names", of(names::<u8>([]))),
        ("51 ids", of(ids(0..51))),
        (
            "51 names",
            of(names((0..51).map(|number| format!("u{number}@d")))),
        ),
        ("bad ids", of(ids(["12a", "", "-1"]))),
        ("bad names", of(names(["ann", "a@b@c", "é@d"]))),
        ("neither keys nor all", keys(&[])),
        ("21 keys", keys(&KEYS_21)),
        (
            "bad keys",
            keys(&["", "aliyun-x", "acs:x", "http://x", "ok", "x\0"]),
        ),
        ("the same key twice", keys(&["env", "team", "env"])),
        (
            "bad expected values",
            UntagResourcesRequest {
                expected_values: [("env", "https://x"), ("other", ""), ("a", &"v".repeat(129))]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
                ..keys(&["env", "a"])
            },
        ),
        (
            "a bad client token",
            UntagResourcesRequest {
                client_token: "x".repeat(65),
                ..good()
            },
        ),
        ("missing ids", of(ids([ANN, "901", "902", "903", "904"]))),
        (
            "missing names",
            of(names(["Nobody@Example.com", "ben@example.com"])),
        ),
    ];
    let mut text = String::new();
    for (what, request) in cases {
        case(&mut text, what, &untag_error(client, request).await);
    }
    assert_shared_snapshot!(text);
}

#[tokio::test]
async fn tag_names_each_fault() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let good = || tag_request(ids([ANN]), &[("env", "x")]);
    let tags = |tags: &[(&str, &str)]| tag_request(ids([ANN]), tags);
    let cases = [
        (
            "resource type",
            TagResourcesRequest {
                resource_type: "User".into(),
                ..good()
            },
        ),
        (
            "no resources",
            TagResourcesRequest {
                resources: None,
                ..good()
            },
        ),
        ("bad id", tag_request(ids(["x"]), &[("env", "x")])),
        ("51 ids", tag_request(ids(0..51), &[("env", "x")])),
        ("no tags", tags(&[])),
        ("21 tags", tags(&KEYS_21.map(|key| (key, "v")))),
        ("bad keys", tags(&[("", "v"), ("acs:", "v")])),
        (
            "bad values",
            tags(&[("a", "https://x"), ("b", "x\0"), ("c", &"v".repeat(129))]),
        ),
        (
            "the same key twice",
            tags(&[("a", "1"), ("b", "2"), ("a", "3")]),
        ),
        (
            "missing user",
            tag_request(ids([ANN, "901"]), &[("env", "x")]),
        ),
        (
            "a user with too many tags",
            tag_request(
                names(["FULL@example.com", "ben@example.com"]),
                &[("a", "b")],
            ),
        ),
    ];
    let mut text = String::new();
    for (what, request) in cases {
        case(
            &mut text,
            what,
            &client.tag_resources(ask(request)).await.unwrap_err(),
        );
    }
    assert_shared_snapshot!(text);
}

#[tokio::test]
async fn list_names_each_fault() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let good = || list_request(ids([ANN]));
    let cases = [
        (
            "resource type",
            ListTagResourcesRequest {
                resource_type: "group".into(),
                ..good()
            },
        ),
        (
            "neither resources nor tags",
            ListTagResourcesRequest::default(),
        ),
        (
            "empty ids beside tags",
            ListTagResourcesRequest {
                resources: Some(ids::<u8>([]).into()),
                ..filter_request(&[("a", None)])
            },
        ),
        ("51 ids", list_request(ids(0..51))),
        ("bad name", list_request(names(["ann"]))),
        (
            "21 filters",
            filter_request(&KEYS_21.map(|key| (key, None))),
        ),
        (
            "bad key and value",
            filter_request(&[("acs:x", Some("http://x"))]),
        ),
        (
            "the same key twice",
            filter_request(&[("a", None), ("a", Some("1"))]),
        ),
        (
            "page size below 0",
            ListTagResourcesRequest {
                page_size: -1,
                ..good()
            },
        ),
        (
            "page size over 100",
            ListTagResourcesRequest {
                page_size: 101,
                ..good()
            },
        ),
        (
            "token",
            ListTagResourcesRequest {
                next_token: "x".into(),
                ..good()
            },
        ),
        ("missing user", list_request(ids([ANN, "901"]))),
    ];
    let mut text = String::new();
    for (what, request) in cases {
        case(
            &mut text,
            what,
            &client.list_tag_resources(ask(request)).await.unwrap_err(),
        );
    }
    assert_shared_snapshot!(text);
}

#[tokio::test]
async fn every_fault_is_reported_at_once() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let untag = UntagResourcesRequest {
        resource_type: "group".into(),
        ..untag_request(ids(["1", "x"]), &["acs:x", "ok", "ok"])
    };
    let tag = TagResourcesRequest {
        resource_type: "group".into(),
        ..tag_request(names(["x"]), &[("", "http://"), ("ok", "1"), ("ok", "2")])
    };
    let list = ListTagResourcesRequest {
        resource_type: "group".into(),
        page_size: 200,
        resources: Some(ids(["x"]).into()),
        ..filter_request(&[("", Some("http://"))])
    };
    // No account either.
    let mut text = String::new();
    case(
        &mut text,
        "untag",
        &client.untag_resources(untag).await.unwrap_err(),
    );
    case(
        &mut text,
        "tag",
        &client.tag_resources(tag).await.unwrap_err(),
    );
    case(
        &mut text,
        "list",
        &client.list_tag_resources(list).await.unwrap_err(),
    );
    assert_shared_snapshot!(text);
}

#[tokio::test]
async fn the_account_must_be_named_once_and_be_digits() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let named = |accounts: &[&str]| {
        let mut request = Request::new(untag_request(ids([ANN]), &["env"]));
        for account in accounts {
            request
                .metadata_mut()
                .append(ACCOUNT_METADATA, account.parse().unwrap());
        }
        request
    };
    let (longest, too_long) = ("1".repeat(32), "1".repeat(33));
    let mut text = String::new();
    for accounts in [
        &[][..],
        &[""],
        &["abc"],
        &["1001", "1002"],
        &["1001", "1001"],
        &["1001,1002"],
        &[&too_long],
    ] {
        let error = client.untag_resources(named(accounts)).await.unwrap_err();
        case(&mut text, &format!("{accounts:?}"), &error);
    }
    assert_shared_snapshot!(text);
    let of_longest = client
        .untag_resources(named(&[&longest]))
        .await
        .unwrap_err();
    assert_eq!(
        of_longest.code(),
        Code::NotFound,
        "an account of 32 digits is one, though it has no users"
    );
}

#[tokio::test]
async fn the_reason_of_an_error_is_its_code_in_upper_case() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let error = untag_error(client, untag_request(ids([ANN]), &["env", "env"])).await;
    assert_eq!(alibaba_codes(&error), ["Duplicate.TagKey"]);
    let details = error.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("DUPLICATE_TAG_KEY", "untag")
    );
}
