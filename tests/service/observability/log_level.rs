//! The log level, changed while the service runs.

use crate::support::http::{Http1, ask, get};
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

/// A page whose host name has become that of the port (DNS rebinding) needs nobody's leave to send a PUT.
#[test]
fn no_web_page_changes_the_log_level() {
    let (server, _directory) = sample(&["--log-level", "info"]);
    let origin = "Origin: http://rebound.example:9090\r\n";
    let mut http = Http1::open(server.admin_address);
    let refused = http.ask("PUT", "/log-level", origin, "off");
    assert_eq!(refused.code, 403, "{refused:?}");
    assert!(refused.body.contains("web page"), "{refused:?}");
    for method in ["POST", "OPTIONS", "DELETE"] {
        let refused = http.ask(method, "/log-level", origin, "off");
        assert_eq!(refused.code, 405, "{refused:?}");
        assert!(!refused.headers.contains("access-control"), "{refused:?}");
    }
    assert_eq!(get(&server, "/log-level").1, "info\n");
}
