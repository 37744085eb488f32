//! The log level, changed while the service runs.

use crate::http::{ask, get};
use crate::support::list;
use crate::support::sample;

#[tokio::test]
async fn the_log_level_changes_at_run_time_and_a_bad_one_changes_nothing() {
    let (server, _directory) = sample(&["--log-level", "warn,untag=info"]);
    let admin = server.admin_address;
    assert_eq!(get(&server, "/log-level").1, "warn,untag=info\n");

    let (status, said) = ask(admin, "PUT", "/log-level", "untag=nonsense");
    assert_eq!(status, 400);
    assert!(said.contains("untag=nonsense"), "{said}");
    assert_eq!(ask(admin, "PUT", "/log-level", &"x".repeat(10_000)).0, 400);
    assert_eq!(get(&server, "/log-level").1, "warn,untag=info\n");

    assert_eq!(ask(admin, "PUT", "/log-level", "off").0, 200);
    let mut client = server.client().await;
    let quiet = client.list_tag_resources(list()).await.unwrap();
    assert_eq!(ask(admin, "PUT", "/log-level", "info").0, 200);
    let loud = client.list_tag_resources(list()).await.unwrap();
    let id = |answer: tonic::Response<untag::grpc::proto::ListTagResourcesResponse>| {
        answer.into_inner().request_id
    };
    let (quiet, loud) = (id(quiet), id(loud));
    server.wait_for_log_where("request", |line| line["request_id"] == loud.as_str());
    let lines = server.log_lines();
    assert!(
        lines
            .iter()
            .all(|line| line["request_id"] != quiet.as_str())
    );
}
