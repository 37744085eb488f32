//! Calls that are more than one message, or have too many headers.

use bytes::Bytes;
use tonic::Code;

use super::answer::{REQUEST_ID_HEADER, assert_request_id};
use super::users::{ANN, ids, list_request, server, tags_of, untag_request};
use super::wire::{LIST, UNTAG, Wire, frame};

fn valid() -> Bytes {
    frame(&untag_request(ids([ANN]), &["env"]))
}

#[tokio::test]
async fn a_call_of_one_message_with_more_than_that_changes_nothing() {
    let (server, _home) = server(&[]);
    let mut client = server.client().await;
    let mut wire = Wire::open(server.address).await;
    let health = frame(&tonic_health::pb::HealthCheckRequest::default());
    for (path, message) in [
        (UNTAG, valid()),
        (LIST, frame(&list_request(ids([ANN])))),
        ("/grpc.health.v1.Health/Check", health.clone()),
        ("/grpc.health.v1.Health/Watch", health),
    ] {
        let twice = [&message[..], &message].concat();
        let half = [&message[..], &message[..3]].concat();
        let frames: [Vec<&[u8]>; 5] = [
            vec![&twice],
            vec![&message, &message],
            vec![&half],
            vec![&message, &message[..1]],
            twice.chunks(1).collect(),
        ];
        for frames in frames {
            let mut call = wire.start(path, &[]).await;
            let last = frames.len() - 1;
            for (place, part) in frames.into_iter().enumerate() {
                // It may be refused before its end.
                let part = Bytes::copy_from_slice(part);
                let _ = call.body.send_data(part, place == last);
            }
            let answer = call.answer().await;
            let status = answer.status();
            assert_eq!(status.code(), Code::Internal, "{path}: {status:?}");
            let said = status.message();
            assert!(said.contains("more bytes follow the message"), "{said}");
            assert_request_id(answer.headers[REQUEST_ID_HEADER].to_str().unwrap());
        }
    }
    assert_eq!(tags_of(&mut client, ANN).await.len(), 3);
    // The same as one message is carried out, in whatever frames.
    let message = valid();
    let mut call = wire.start(UNTAG, &[]).await;
    for byte in message.chunks(1) {
        let byte = Bytes::copy_from_slice(byte);
        call.body.send_data(byte, false).unwrap();
    }
    call.send(Bytes::new());
    assert_eq!(call.answer().await.status().code(), Code::Ok);
    assert_eq!(tags_of(&mut client, ANN).await.len(), 2);
}

#[tokio::test]
async fn headers_over_the_limit_are_refused_with_a_status_and_a_request_id() {
    let (server, _home) = server(&["--max-header-list-bytes", "4096"]);
    let mut wire = Wire::open(server.address).await;
    let filler = "x".repeat(3000);
    let fits = wire.call(UNTAG, &[("filler", &filler)], valid()).await;
    assert_eq!(fits.status().code(), Code::Ok);
    let many: Vec<_> = (0..110).map(|_| ("a", "")).collect();
    let large: Vec<_> = (0..5).map(|_| ("filler", filler.as_str())).collect();
    for (headers, wanted) in [
        (&large[..2], "send at most 4096"),
        (&large, "send at most 4096"),
        (&many, "send at most 100"),
    ] {
        // No end of the body: it is not waited for.
        let answer = wire.start(UNTAG, headers).await.answer().await;
        let status = answer.status();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.message().contains(wanted), "{status:?}");
        assert_request_id(answer.headers[REQUEST_ID_HEADER].to_str().unwrap());
    }
}
