//! Requests that cross the GOAWAY of a drain on the wire.

use super::users::{ACCOUNT, ACCOUNT_METADATA, ANN, ids, server, untag_request};
use super::wire;
use crate::support::PATIENCE;
use crate::support::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, Raw, UNTAG, WINDOW_UPDATE,
    call_headers, frame,
};

/// The message of a request, and the end of its stream.
fn message(stream: u32, key: &str) -> Vec<u8> {
    let message = wire::frame(&untag_request(ids([ANN]), &[key]));
    frame(DATA, END_STREAM, stream, &message)
}

fn is_data(frame: &Frame, stream: u32) -> bool {
    (frame.kind, frame.stream) == (DATA, stream) && !frame.payload.is_empty()
}

#[test]
fn requests_that_wait_behind_the_clients_ack_are_answered_and_so_are_those_before() {
    let (mut server, _home) = server(&["--drain-timeout", "600"]);
    let headers = call_headers(UNTAG, &[(ACCOUNT_METADATA, ACCOUNT)]);
    let mut client = Raw::open(server.address, &[]);
    let open = |stream| frame(HEADERS, END_HEADERS, stream, &headers);
    // One request is in flight, as the answer to another shows.
    let begun = [open(1), open(3), message(3, "env")].concat();
    client.send(&begun).unwrap();
    client.read_until(|frame| is_data(frame, 3)).unwrap();

    server.signal("TERM");
    let ping = client.read_until(|frame| frame.kind == PING && frame.flags & ACK == 0);
    // gRPC's C library acknowledges first, and then sends what waits in its buffer, with a WINDOW_UPDATE for each request.
    let crossing = [
        frame(PING, ACK, 0, &ping.unwrap().payload),
        open(5),
        frame(WINDOW_UPDATE, 0, 5, &5_u32.to_be_bytes()),
        message(5, "team"),
    ];
    client.send(&crossing.concat()).unwrap();
    client
        .read_until(|frame| is_data(frame, 5))
        .expect("the request behind the ACK is answered");
    client.send(&message(1, "Team")).unwrap();
    client
        .read_until(|frame| is_data(frame, 1))
        .expect("the request before the GOAWAY is answered");
    assert_eq!(client.read_to_end(), Some(0), "the code of the last GOAWAY");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}
