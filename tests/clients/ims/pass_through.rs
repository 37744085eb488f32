//! The pass-through: requests are sent on to the cloud, and answered as the cloud answers.

use serde_json::Value;
use tonic::{Code, Request};
use tonic_types::{ErrorDetail, StatusExt as _};
use untag::grpc::proto::change_service_client::ChangeServiceClient;
use untag::grpc::proto::untag_resources_request::Resources;
use untag::grpc::proto::{
    GetChangeRequest, ListChangesRequest, ListTagResourcesRequest, ResourceIds, Tag,
    TagResourcesRequest, UntagResourcesRequest, get_change_request, list_tag_resources_request,
    tag_resources_request,
};

use super::{Cloud, code, with_key, with_key_for_url};
use crate::support::authority::Authority;
use crate::support::{ALICE, PATIENCE, SAMPLE_ACCOUNT, Server, untag_of};

fn ids(ids: &[&str]) -> ResourceIds {
    ResourceIds {
        values: ids.iter().map(|id| (*id).to_owned()).collect(),
    }
}

fn untag_all_of(users: &[&str]) -> UntagResourcesRequest {
    UntagResourcesRequest {
        resources: Some(Resources::ResourceIds(ids(users))),
        all: true,
        ..UntagResourcesRequest::default()
    }
}

fn list_of(users: &[&str], page_size: i32, next_token: &str) -> ListTagResourcesRequest {
    ListTagResourcesRequest {
        resources: Some(list_tag_resources_request::Resources::ResourceIds(ids(
            users,
        ))),
        page_size,
        next_token: next_token.to_owned(),
        ..ListTagResourcesRequest::default()
    }
}

/// The line of the request with this RequestId.
fn request_line(server: &Server, id: &str) -> Value {
    server.wait_for_log_where("request", |line| line["request_id"] == id)
}

#[tokio::test]
async fn the_cloud_keeps_no_history() {
    let cloud = Cloud::start(&[]);
    let server = Server::spawn(with_key(cloud.rpc, &[]));
    let mut changes = ChangeServiceClient::new(server.channel().await);
    let request = GetChangeRequest {
        change: Some(get_change_request::Change::Revision(1)),
        ..GetChangeRequest::default()
    };
    let refused = [
        changes.get_change(request).await.unwrap_err(),
        changes
            .list_changes(ListChangesRequest::default())
            .await
            .unwrap_err(),
    ];
    for refused in refused {
        assert_eq!(refused.code(), Code::Unimplemented);
        assert_eq!(code(&refused), "UnsupportedOperation");
        let said = refused.message();
        assert!(said.contains("the cloud keeps no log of that"), "{said}");
    }
}

#[tokio::test]
async fn calls_reach_the_cloud_and_are_answered_with_its_request_id() {
    let cloud = Cloud::start(&[]);
    let audit = tempfile::NamedTempFile::new().unwrap();
    let audit_path = audit.path().to_str().unwrap();
    let mut server = Server::spawn(with_key(cloud.rpc, &["--audit-log", audit_path]));
    let mut client = server.client().await;

    let set = TagResourcesRequest {
        resources: Some(tag_resources_request::Resources::ResourceIds(ids(&[ALICE]))),
        tags: vec![Tag {
            key: "a b".to_owned(),
            value: "中+&".to_owned(),
        }],
        ..TagResourcesRequest::default()
    };
    let answer = client.tag_resources(set).await.unwrap();
    let id = answer.get_ref().request_id.clone();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), id.as_str());
    // The same in the cloud's log and in ours, where the first one leads to what else the log has.
    assert_eq!(request_line(&cloud.server, &id)["caller"], "key:untag");
    let line = request_line(&server, &id);
    assert_ne!(line["first_request_id"], Value::Null, "{line}");
    assert_eq!(
        line["affected"],
        Value::Null,
        "the cloud does not count: {line}"
    );

    let mut tags = Vec::new();
    let mut next_token = String::new();
    loop {
        let page = client
            .list_tag_resources(list_of(&[ALICE], 3, &next_token))
            .await
            .unwrap();
        let page = page.into_inner();
        request_line(&cloud.server, &page.request_id);
        tags.extend(
            page.tag_resources
                .into_iter()
                .map(|tag| (tag.tag_key, tag.tag_value)),
        );
        next_token = page.next_token;
        if next_token.is_empty() {
            break;
        }
    }
    let keys: Vec<&str> = tags.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a b", "cost-center", "env", "team"]);
    assert_eq!(tags[0].1, "中+&");

    client
        .untag_resources(untag_all_of(&[ALICE]))
        .await
        .unwrap();
    let left = client
        .list_tag_resources(list_of(&[ALICE], 0, ""))
        .await
        .unwrap();
    assert!(left.into_inner().tag_resources.is_empty());

    // All of the audit is written when the service has ended.
    server.signal("TERM");
    server.wait(PATIENCE);
    let audited = std::fs::read_to_string(audit.path()).unwrap();
    let audited: Value = serde_json::from_str(audited.lines().next().unwrap()).unwrap();
    assert_eq!(audited["request_id"], id.as_str());
    assert_eq!(audited["affected_tags"], Value::Null);
}

#[tokio::test]
async fn what_the_cloud_refuses_keeps_its_code_and_names_who_is_missing() {
    let cloud = Cloud::start(&[]);
    let server = Server::spawn(with_key(cloud.rpc, &[]));
    let mut client = server.client().await;
    let refused = client
        .untag_resources(untag_all_of(&["404", ALICE, "405"]))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), code(&refused).as_str()),
        (Code::NotFound, "EntityNotExist.User")
    );
    let details = refused.get_error_details();
    let named = refused
        .get_error_details_vec()
        .into_iter()
        .filter_map(|detail| match detail {
            ErrorDetail::ResourceInfo(info) => Some(info.resource_name),
            _ => None,
        });
    assert_eq!(named.collect::<Vec<_>>(), ["404", "405"]);
    for part in [
        "404, 405",
        "the cloud does not say whether the other users were changed",
    ] {
        assert!(refused.message().contains(part), "{refused:?}");
    }
    // It is the cloud's RequestId here too.
    let id = details.request_info().unwrap().request_id.clone();
    request_line(&cloud.server, &id);
    assert_eq!(refused.metadata().get("x-request-id").unwrap(), id.as_str());
    request_line(&server, &id);

    // An untag that only validates changes nothing, and one that may skip users skips them.
    let validated = UntagResourcesRequest {
        validate_only: true,
        ..untag_all_of(&[ALICE])
    };
    client.untag_resources(validated).await.unwrap();
    let page = client
        .list_tag_resources(list_of(&[ALICE], 0, ""))
        .await
        .unwrap();
    assert_eq!(page.into_inner().tag_resources.len(), 3);
    let validated = UntagResourcesRequest {
        validate_only: true,
        ..untag_all_of(&["404"])
    };
    let refused = client.untag_resources(validated).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let skipping = UntagResourcesRequest {
        allow_missing: true,
        ..untag_all_of(&["404", ALICE])
    };
    client.untag_resources(skipping).await.unwrap();
    let page = client
        .list_tag_resources(list_of(&[ALICE], 0, ""))
        .await
        .unwrap();
    assert!(page.into_inner().tag_resources.is_empty());

    let mut elsewhere = Request::new(untag_of(ALICE));
    elsewhere
        .metadata_mut()
        .insert("x-acs-account-id", "7".parse().unwrap());
    let refused = client.untag_resources(elsewhere).await.unwrap_err();
    assert_eq!(code(&refused), "InvalidParameter.AccountId");
    let expected = format!("x-acs-account-id: 7 is another account than {SAMPLE_ACCOUNT}, which");
    assert!(refused.message().starts_with(&expected), "{refused:?}");
    let foreign = list_of(&[ALICE], 0, "AQ");
    let refused = client.list_tag_resources(foreign).await.unwrap_err();
    assert_eq!(code(&refused), "InvalidParameter.NextToken");
}

#[tokio::test]
async fn an_endpoint_is_believed_by_its_certificate() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority = Authority::new("cloud");
    let pair = authority.issue_for_server();
    let certificate = file("tls.crt", &pair.certificate);
    let key = file("tls.key", &pair.key);
    let cloud = Cloud::start(&["--tls-cert", &certificate, "--tls-key", &key]);
    let endpoint = format!("https://{}", cloud.rpc);

    let known = file("ca.crt", &authority.pem());
    let server = Server::spawn(with_key_for_url(&endpoint, &["--ims-ca", &known]));
    let answer = server.client().await.untag_resources(untag_of(ALICE)).await;
    request_line(&cloud.server, &answer.unwrap().into_inner().request_id);

    let other = file("other.crt", &Authority::new("other").pem());
    let command = with_key_for_url(&endpoint, &["--ims-ca", &other]);
    let server = Server::launch(command, ([127, 0, 0, 1], 0).into());
    let refused = server.client().await.untag_resources(untag_of(ALICE)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        refused.message().ends_with("nothing was changed"),
        "{refused:?}"
    );
    let problem = |line: &Value| line["problem"].to_string().contains("UnknownIssuer");
    server.wait_for_log_where("the cloud is asked again", problem);
}

#[tokio::test]
async fn what_the_cloud_does_not_permit_is_not_permitted() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    let text = r#"{"Policies": {"readers": {"Version": "1", "Statement": [
            {"Effect": "Allow", "Action": "ram:List*", "Resource": "*"}]}},
        "Bindings": [{"Callers": ["key:untag"], "Accounts": ["*"], "Policies": ["readers"]}]}"#;
    std::fs::write(policy.path(), text).unwrap();
    let cloud = Cloud::start(&["--policy", policy.path().to_str().unwrap()]);
    let server = Server::spawn(with_key(cloud.rpc, &[]));
    let mut client = server.client().await;
    let refused = client.untag_resources(untag_of(ALICE)).await.unwrap_err();
    let found = (refused.code(), code(&refused));
    assert_eq!(found, (Code::PermissionDenied, "NoPermission".to_owned()));
    assert!(
        refused
            .message()
            .contains("key:untag may not do ram:UntagResources"),
        "{refused:?}"
    );
}
