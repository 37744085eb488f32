//! Imports under policies: which actions they take, and what the audit tells of them.

use futures_util::stream;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use untag::grpc::proto::user::v1::import_users_request::Part;
use untag::grpc::proto::user::v1::user_service_client::UserServiceClient;
use untag::grpc::proto::user::v1::{
    ImportChunk, ImportLine, ImportMode, ImportSettings, ImportUsersRequest, ImportUsersResponse,
    User,
};

use super::harness::{endpoint, lines};
use super::policies::{Guarded, policy};
use crate::support::authority::spiffe;
use crate::support::wait_until;

/// Imports one user by the caller of this name.
async fn import(
    guarded: &Guarded,
    name: &str,
    settings: ImportSettings,
) -> Result<ImportUsersResponse, Status> {
    let pair = guarded.files.callers.issue(vec![spiffe(name)]);
    let endpoint = endpoint(&guarded.server, &guarded.files.servers, Some(&pair));
    let mut client = UserServiceClient::new(endpoint.connect().await.unwrap());
    let user = User {
        resource_id: "77".to_owned(),
        principal_name: "new@example.com".to_owned(),
        tags: [("env".to_owned(), "prod".to_owned())].into(),
        ..User::default()
    };
    let line = ImportLine {
        number: 1,
        user: Some(user),
    };
    let chunk = ImportChunk { lines: vec![line] };
    let parts = [Part::Settings(settings), Part::Chunk(chunk)];
    let messages = parts.map(|part| ImportUsersRequest { part: Some(part) });
    let answers = client.import_users(stream::iter(messages)).await?;
    let answer = answers.into_inner().message().await?;
    Ok(answer.expect("a chunk has an answer"))
}

fn allow_all(actions: &[&str]) -> Value {
    json!({"Effect": "Allow", "Action": actions, "Resource": "*"})
}

#[tokio::test]
async fn an_import_needs_the_action_of_each_thing_that_it_may_do() {
    let always = ["untag:ImportUsers", "ram:CreateUser"];
    let merging = [&always[..], &["ram:UpdateUser", "ram:TagResources"]].concat();
    let replacing = [&merging[..], &["ram:UntagResources"]].concat();
    let checking = [&always[..], &["ram:ListTagResources"]].concat();
    for (mode, validate_only, needed) in [
        (ImportMode::CreateOnly, false, &always[..]),
        (ImportMode::Merge, false, &merging),
        (ImportMode::ReplaceTags, false, &replacing),
        (ImportMode::CreateOnly, true, &checking),
    ] {
        let callers: Vec<String> = (0..=needed.len()).map(|at| format!("c{at}")).collect();
        // The first may do all of it, and each other one all but one action.
        let statements: Vec<Value> = (0..=needed.len())
            .map(|at| {
                let others = needed
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| other + 1 != at);
                allow_all(&others.map(|(_, action)| *action).collect::<Vec<_>>())
            })
            .collect();
        let names: Vec<String> = callers
            .iter()
            .map(|name| format!("spiffe://*/{name}"))
            .collect();
        let bindings = names.iter().map(String::as_str).zip(&statements);
        let guarded = Guarded::start(&policy(&bindings.collect::<Vec<_>>()));
        let settings = || ImportSettings {
            mode: mode.into(),
            validate_only,
            client_token: String::new(),
        };
        for (caller, action) in callers[1..].iter().zip(needed) {
            let denied = import(&guarded, caller, settings()).await.unwrap_err();
            assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
            let info = denied.get_details_error_info().unwrap();
            assert_eq!(info.metadata["action"], *action, "{mode:?}");
        }
        let made = import(&guarded, &callers[0], settings()).await.unwrap();
        assert_eq!(made.created_users, 1);

        let audit = guarded.files.path("audit.jsonl");
        let of_imports = || -> Vec<Value> {
            let is_import = |line: &Value| line["action"] == "untag:ImportUsers";
            lines(&audit).into_iter().filter(is_import).collect()
        };
        wait_until("each import has a line", || {
            of_imports().len() == callers.len()
        });
        let of_imports = of_imports();
        let denied = of_imports
            .iter()
            .filter(|line| line["decision"] == "denied");
        assert_eq!(denied.count(), needed.len());
        let line = of_imports
            .iter()
            .find(|line| line["request_id"] == made.request_id.as_str());
        let line = line.unwrap_or_else(|| panic!("{of_imports:#?}"));
        assert_eq!(
            (&line["outcome"], &line["resource_ids"]),
            (&json!("OK"), &json!(["77"]))
        );
        assert_eq!(line["affected_resources"], 1);
        assert!(!line.to_string().contains("prod"), "{line}");
    }
}
