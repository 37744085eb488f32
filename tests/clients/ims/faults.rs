//! An endpoint that is down, slow, throttling, or answers garbage.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::net::TcpSocket;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use untag::grpc::proto::tag_service_client::TagServiceClient;

use super::endpoint::{Endpoint, REQUEST_ID, good, http, refusal};
use super::{code, untag_alice, wait_until_ready_says, with_key};
use crate::support::{ALICE, Server, list, untag, untag_of, wait_until};

/// The message while the circuit is open; after it the one when an answer is lost.
const OPEN: &str = "the cloud API does not answer; nothing was changed";
const LOST: &str = "the cloud API has not answered; the change may have been made; it is safe to repeat the request";

fn launch(endpoint: SocketAddr, arguments: &[&str]) -> Server {
    Server::launch(with_key(endpoint, arguments), ([127, 0, 0, 1], 0).into())
}

fn pushback(status: &Status) -> Option<&str> {
    status
        .metadata()
        .get("grpc-retry-pushback-ms")
        .map(|value| value.to_str().unwrap())
}

/// A change that was surely not made is sent again by the command line, which says so in the end.
fn command_line_calls_again(server: &Server) {
    let refused = |line: &Value| line["code"] == "UNAVAILABLE";
    let before = server.count_in_log(refused);
    let ended = untag()
        .args(["tags", "remove", ALICE, "--tag", "env"])
        .args(["--timeout", "3", "--address", &server.address.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(
        said.contains(OPEN) && said.contains("ServiceUnavailable, RequestId "),
        "{said}"
    );
    assert!(server.count_in_log(refused) >= before + 2);
}

#[tokio::test]
async fn an_endpoint_that_is_down_opens_the_circuit_until_it_is_back() {
    // Bound, so that the port is nobody else's meanwhile, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let server = launch(socket.local_addr().unwrap(), &[]);
    let refused = untag_alice(&server).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    // Nothing was sent, so it is safe to come again.
    assert!(
        refused.message().ends_with("nothing was changed"),
        "{refused:?}"
    );
    assert_eq!(pushback(&refused), None);
    wait_until_ready_says(&server, (503, "the cloud API does not answer"));
    let line = server.wait_for_log("the cloud does not answer: the circuit is open");
    assert!(
        line["problem"].as_str().unwrap().contains("refused"),
        "{line}"
    );
    let refused = untag_alice(&server).await.unwrap_err();
    assert_eq!(refused.message(), OPEN);
    command_line_calls_again(&server);

    let listener = socket.listen(64).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    // It listens again, and takes its time for the first answer.
    let is_back = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_back);
    let endpoint = Endpoint::start_on(listener, move |_, asked| {
        wait_until("the test goes on", || {
            !asked.is_probe() || seen.load(Ordering::Relaxed)
        });
        Some(good())
    });
    wait_until("a probe comes", || endpoint.probes() > 0);
    let refused = untag_alice(&server).await.unwrap_err();
    assert_eq!(refused.message(), OPEN);
    assert!(endpoint.asked().is_empty(), "no request is spent on it");
    is_back.store(true, Ordering::Relaxed);
    wait_until_ready_says(&server, (200, ""));
    assert_eq!(untag_alice(&server).await.unwrap(), REQUEST_ID);
}

/// Five calls hang until they are given up; those that wait behind them are not made then.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_opens_the_circuit_for_those_who_wait() {
    let hangs = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&hangs);
    let endpoint = Endpoint::start(move |_, _| {
        wait_until("the test goes on", || !seen.load(Ordering::Relaxed));
        Some(good())
    });
    let server = launch(endpoint.address, &["--store-connections", "5"]);
    wait_until_ready_says(&server, (200, ""));
    hangs.store(true, Ordering::Relaxed);
    let calls = 20;
    let clients = join_all((0..calls).map(|_| server.client())).await;
    let call = |mut client: TagServiceClient<Channel>| async move {
        client.untag_resources(untag_of(ALICE)).await
    };
    let all = tokio::spawn(join_all(clients.into_iter().map(call)));
    let opened = server.wait_for_log("the cloud does not answer: the circuit is open");
    assert!(
        opened["problem"].as_str().unwrap().contains("timed out"),
        "{opened}"
    );
    // A probe hangs too, and no second one is made beside it.
    wait_until("a probe comes", || endpoint.probes() > 1);
    // The check that began it gives up waiting for it; a later one finds it under way, and says at once how things are.
    wait_until("another check", || {
        let reasons = server.log_lines().into_iter();
        let mut reasons = reasons.filter_map(|line| Some(line["reason"].as_str()?.to_owned()));
        reasons.any(|reason| reason.contains("the store has not answered"))
            && reasons.any(|reason| reason.contains("the cloud API does not answer"))
    });
    assert_eq!(endpoint.probes(), 2, "the one of the start, and this");
    hangs.store(false, Ordering::Relaxed);

    let results = all.await.unwrap();
    let refused: Vec<&Status> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .collect();
    let count = |message: &str| {
        let told = refused.iter().filter(|status| status.message() == message);
        told.filter(|status| status.code() == Code::Unavailable)
            .count()
    };
    // A place or two may have been free before the fifth was given up.
    let made = endpoint.asked().len();
    assert!((5..10).contains(&made), "{made} calls were made");
    assert_eq!((count(LOST), count(OPEN)), (5, calls - made), "{refused:?}");
    wait_until_ready_says(&server, (200, ""));
    assert_eq!(untag_alice(&server).await.unwrap(), REQUEST_ID);
}

#[tokio::test]
async fn an_endpoint_that_is_slow_is_left_at_the_deadline_and_bounded() {
    let endpoint = Endpoint::start(|number, _| (number == usize::MAX).then(good));
    let server = launch(endpoint.address, &["--store-connections", "2"]);
    wait_until_ready_says(&server, (200, ""));
    let call = |_| {
        let client = server.client();
        async {
            let mut request = Request::new(untag_of(ALICE));
            request.set_timeout(Duration::from_secs(2));
            client.await.untag_resources(request).await.unwrap_err()
        }
    };
    let refused = join_all((0..6).map(call)).await;
    for status in refused {
        // Either end may say it first.
        let is_late = [Code::DeadlineExceeded, Code::Cancelled].contains(&status.code());
        assert!(is_late, "{status:?}");
    }
    assert_eq!(
        endpoint.asked().len(),
        2,
        "two calls at a time, and nobody waits behind them"
    );
    let deadline = |line: &Value| line["code"] == "DEADLINE_EXCEEDED";
    let line = server.wait_for_log_where("request", deadline);
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("the change may have been made"), "{line}");
    wait_until_ready_says(&server, (200, ""));
}

#[tokio::test]
async fn throttling_is_waited_out_within_the_deadline() {
    let throttled = |after: &str| {
        refusal(
            400,
            &format!("x-acs-retry-after: {after}\r\n"),
            "Throttling.User",
        )
    };
    let endpoint = Endpoint::start(move |number, _| {
        Some(match number {
            0 => throttled("300"),
            1 => refusal(400, "", "Throttling"),
            2 | usize::MAX => good(),
            _ => throttled("60000"),
        })
    });
    let server = launch(endpoint.address, &[]);
    wait_until_ready_says(&server, (200, ""));
    assert_eq!(untag_alice(&server).await.unwrap(), REQUEST_ID);
    assert_eq!(endpoint.asked().len(), 3);

    // A minute is more than the request has.
    let refused = untag_alice(&server).await.unwrap_err();
    let found = (refused.code(), code(&refused));
    assert_eq!(
        found,
        (Code::ResourceExhausted, "Throttling.User".to_owned())
    );
    assert_eq!(refused.message(), "In the cloud's words.");
    let retry = refused
        .get_error_details()
        .retry_info()
        .unwrap()
        .retry_delay;
    assert_eq!(retry, Some(Duration::from_mins(1)));
    assert_eq!(endpoint.asked().len(), 4);
    // Who is throttled is served.
    wait_until_ready_says(&server, (200, ""));
}

#[tokio::test]
async fn garbage_is_no_answer_and_a_change_is_not_sent_again() {
    let huge = "x".repeat(2 << 20);
    let cut = http(200, "", r#"{"RequestId":"6AC79B74"#);
    let garbage = [
        http(200, "", "<html>"),
        http(200, "", "{}"),
        http(200, "", &huge),
        cut[..cut.len() - 9].to_vec(),
        http(302, "Location: http://127.0.0.1:1/\r\n", ""),
        http(502, "", "<html>bad gateway</html>"),
        b"\x16\x03\x01 this is no HTTP".to_vec(),
        Vec::new(),
    ];
    let kinds = garbage.len();
    let endpoint = Endpoint::start(move |number, asked| {
        let is_change = asked.action() == "untagresources";
        Some(if is_change {
            garbage[number / 2].clone()
        } else {
            good()
        })
    });
    let server = launch(endpoint.address, &[]);
    wait_until_ready_says(&server, (200, ""));
    let mut client = server.client().await;
    for kind in 0..kinds {
        let refused = untag_alice(&server).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{kind}: {refused:?}");
        assert_eq!(refused.message(), LOST, "{kind}");
        assert_eq!(pushback(&refused), Some("-1"), "{kind}");
        // An answer in between, so that the circuit stays closed.
        let listed = client.list_tag_resources(list()).await.unwrap();
        assert_eq!(listed.into_inner().request_id, REQUEST_ID);
    }
    let changes = endpoint
        .asked()
        .into_iter()
        .filter(|asked| asked.action() == "untagresources");
    assert_eq!(changes.count(), kinds, "each change was sent once");
}

#[tokio::test]
async fn a_list_is_asked_for_again_and_a_fault_keeps_its_code() {
    let endpoint = Endpoint::start(|number, asked| {
        Some(match (asked.action(), number) {
            (_, usize::MAX) => good(),
            ("listtagresources", 0) => http(200, "", "<html>"),
            ("listtagresources", 1) => refusal(503, "", "ServiceUnavailable"),
            ("listtagresources", _) => good(),
            (_, 3) => refusal(503, "", "ServiceUnavailable"),
            (_, 4) => refusal(500, "", "InternalError"),
            _ => refusal(409, "", "LimitExceeded.User.Tag"),
        })
    });
    let server = launch(endpoint.address, &[]);
    wait_until_ready_says(&server, (200, ""));
    let mut client = server.client().await;
    client.list_tag_resources(list()).await.unwrap();
    assert_eq!(endpoint.asked().len(), 3);
    let maybe =
        "In the cloud's words; the change may have been made; it is safe to repeat the request";
    let expected = [
        (Code::Unavailable, "ServiceUnavailable", maybe),
        (Code::Internal, "InternalError", maybe),
        (
            Code::FailedPrecondition,
            "LimitExceeded.User.Tag",
            "In the cloud's words.",
        ),
    ];
    for (grpc, cloud, message) in expected {
        let refused = untag_alice(&server).await.unwrap_err();
        assert_eq!(
            (refused.code(), code(&refused).as_str(), refused.message()),
            (grpc, cloud, message)
        );
        assert_eq!(
            refused
                .get_error_details()
                .request_info()
                .unwrap()
                .request_id,
            REQUEST_ID
        );
    }
    assert_eq!(endpoint.asked().len(), 6);
}
