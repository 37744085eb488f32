//! Requests that do not keep to the gRPC protocol or to the message format, sent frame by frame.

use bytes::Bytes;
use prost::Message as _;
use tonic::Code;
use untag::grpc::proto::UntagResourcesResponse;

use super::answer::{REQUEST_ID_HEADER, assert_request_id, assert_shared_snapshot, case, describe};
use super::users::{ANN, ids, server, untag_request};
use super::wire::{UNTAG, Wire, frame, frame_of_bytes};

fn valid() -> Bytes {
    frame(&untag_request(ids([ANN]), &["env"]))
}

#[tokio::test]
async fn a_message_that_is_none_is_an_invalid_request() {
    let (server, _home) = server(&[]);
    let mut wire = Wire::open(server.address).await;
    let good = untag_request(ids([ANN]), &["env"]).encode_to_vec();
    let cases = [
        ("random bytes", frame_of_bytes(0, &[0xff; 16])),
        (
            "cut off inside a field",
            frame_of_bytes(0, &good[..good.len() - 1]),
        ),
        (
            "text that is not UTF-8",
            frame_of_bytes(0, &[0x0a, 0x02, 0xff, 0xfe]),
        ),
        (
            "cut off inside the frame",
            valid().slice(..valid().len() - 3),
        ),
        ("cut off inside the frame's length", valid().slice(..3)),
        ("no message", Bytes::new()),
        ("an unknown flag", frame_of_bytes(7, &good)),
        ("compressed without saying how", frame_of_bytes(1, &good)),
    ];
    let mut text = String::new();
    for (what, body) in cases {
        let answer = wire.call(UNTAG, &[], body).await;
        assert_ne!(answer.status().code(), Code::Ok, "{what}");
        case(&mut text, what, &answer.status());
    }
    assert_shared_snapshot!(text);
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let (server, _home) = server(&[]);
    let mut message = untag_request(ids([ANN]), &["env"]).encode_to_vec();
    // Field 1000, a varint.
    message.extend([0xc0, 0x3e, 0x01]);
    let answer = Wire::open(server.address)
        .await
        .call(UNTAG, &[], frame_of_bytes(0, &message))
        .await;
    assert_eq!(answer.status().code(), Code::Ok);
}

#[tokio::test]
async fn a_message_over_64_kib_is_refused_and_one_of_64_kib_is_read() {
    let (server, _home) = server(&[]);
    let mut wire = Wire::open(server.address).await;
    // An unknown field with as many bytes as are wanted: its tag and its length take four.
    let sized = |bytes: usize| {
        let mut message = untag_request(ids([ANN]), &["env"]).encode_to_vec();
        let filler = bytes - message.len() - 5;
        message.extend([0xc2, 0x3e]);
        prost::encoding::encode_varint(filler as u64, &mut message);
        message.resize(bytes, 0);
        assert_eq!(message.len(), bytes);
        frame_of_bytes(0, &message)
    };
    let largest = wire.call(UNTAG, &[], sized(64 * 1024)).await;
    assert_eq!(largest.status().code(), Code::Ok, "{:?}", largest.status());
    let too_large = wire.call(UNTAG, &[], sized(64 * 1024 + 1)).await;
    assert_shared_snapshot!(describe(&too_large.status()));
    // Its length alone is enough: nobody has to send 4 GiB.
    let claimed = wire
        .call(
            UNTAG,
            &[],
            Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff, 1]),
        )
        .await;
    assert_eq!(claimed.status().code(), Code::ResourceExhausted);
    assert_eq!(
        wire.call(UNTAG, &[], valid()).await.status().code(),
        Code::Ok,
        "the connection goes on"
    );
}

#[tokio::test]
async fn compressed_messages_are_not_supported_and_the_answer_says_so() {
    let (server, _home) = server(&[]);
    let mut wire = Wire::open(server.address).await;
    let mut text = String::new();
    for encoding in ["gzip", "zstd", "made-up"] {
        let body = frame_of_bytes(1, &[0x1f, 0x8b]);
        let answer = wire.call(UNTAG, &[("grpc-encoding", encoding)], body).await;
        case(&mut text, encoding, &answer.status());
    }
    assert_shared_snapshot!(text);
    let identity = wire
        .call(UNTAG, &[("grpc-encoding", "identity")], valid())
        .await;
    assert_eq!(identity.status().code(), Code::Ok);
}

#[tokio::test]
async fn a_method_that_is_not_there_is_unimplemented() {
    let (server, _home) = server(&[]);
    let mut wire = Wire::open(server.address).await;
    let mut text = String::new();
    for path in [
        "/ram.tag.v1.TagService/Nothing",
        "/ram.tag.v2.TagService/UntagResources",
        "/",
        "/x",
    ] {
        let answer = wire.call(path, &[], valid()).await;
        case(&mut text, path, &answer.status());
    }
    assert_shared_snapshot!(text);
}

#[tokio::test]
async fn a_timeout_that_is_none_is_an_invalid_request() {
    let (server, _home) = server(&[]);
    let mut wire = Wire::open(server.address).await;
    let mut text = String::new();
    for timeout in [
        "",
        "5",
        "S",
        "-1S",
        "1.5S",
        "1s",
        "1 S",
        "123456789S",
        "1SS",
        "١S",
    ] {
        let answer = wire
            .call(UNTAG, &[("grpc-timeout", timeout)], valid())
            .await;
        case(&mut text, &format!("{timeout:?}"), &answer.status());
    }
    assert_shared_snapshot!(text);
    for timeout in ["99999999H", "60M", "60S", "60000m", "60000000u"] {
        let answer = wire
            .call(UNTAG, &[("grpc-timeout", timeout)], valid())
            .await;
        assert_eq!(answer.status().code(), Code::Ok, "{timeout}");
    }
}

#[tokio::test]
async fn the_account_is_read_from_the_headers_as_they_come() {
    let (server, _home) = server(&[]);
    let mut wire = Wire::open(server.address).await;
    for account in [" 1001", "1001 ", "+1001", "1001\t", "\u{0661}"] {
        let answer = wire
            .call(UNTAG, &[("x-acs-account-id", account)], valid())
            .await;
        assert_eq!(answer.status().code(), Code::InvalidArgument, "{account:?}");
        assert!(describe(&answer.status()).contains("InvalidParameter.AccountId"));
    }
}

#[tokio::test]
async fn an_answer_is_one_message_with_its_status_and_its_request_id() {
    let (server, _home) = server(&[]);
    let answer = Wire::open(server.address)
        .await
        .call(UNTAG, &[], valid())
        .await;
    assert_eq!(answer.headers["content-type"], "application/grpc");
    assert_eq!(answer.trailers.as_ref().unwrap()["grpc-status"], "0");
    assert_eq!(answer.body[0], 0, "not compressed");
    let message = UntagResourcesResponse::decode(&answer.body[5..]).unwrap();
    assert_request_id(&message.request_id);
    assert_eq!(
        answer.headers[REQUEST_ID_HEADER],
        message.request_id.as_str()
    );
}

#[tokio::test]
async fn a_request_id_or_a_status_of_the_callers_is_not_taken_over() {
    let (server, _home) = server(&[]);
    let theirs = "AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA";
    let headers = [(REQUEST_ID_HEADER, theirs), ("grpc-status", "13")];
    let answer = Wire::open(server.address)
        .await
        .call(UNTAG, &headers, valid())
        .await;
    assert_eq!(answer.status().code(), Code::Ok);
    assert_ne!(answer.headers[REQUEST_ID_HEADER], theirs);
}
