//! Where changes come from, as the functions of the database take it: a column for each part, with a row for each change.

use tokio_postgres::types::Type;

use super::replica::Replica;
use super::session::Parameters;
use crate::domain::{ClientRequestId, Origin, Repeat};

/// The parameters of `untag_origin`, in its order.
pub fn of_one(origin: &Origin, replica: &Replica) -> Parameters {
    let (token, fingerprint) = repeat(origin);
    vec![
        (Box::new(origin.request_id.to_string()), Type::TEXT),
        (Box::new(origin.time.millis()), Type::INT8),
        (Box::new(caller(origin)), Type::TEXT),
        (Box::new(origin.source_ip.to_string()), Type::TEXT),
        (Box::new(origin.action.as_str()), Type::TEXT),
        (Box::new(token), Type::TEXT),
        (Box::new(fingerprint), Type::BYTEA),
        (Box::new(origin.secure_transport), Type::BOOL),
        (Box::new(client_request_id(origin)), Type::TEXT),
        (Box::new(replica.id().map(str::to_owned)), Type::TEXT),
    ]
}

/// As `of_one`, with an array for each part.
pub fn of_all(origins: &[&Origin], replica: &Replica) -> Parameters {
    let texts = |text: fn(&Origin) -> String| -> Vec<String> {
        origins.iter().map(|origin| text(origin)).collect()
    };
    let times: Vec<i64> = origins.iter().map(|origin| origin.time.millis()).collect();
    let actions: Vec<&'static str> = origins
        .iter()
        .map(|origin| origin.action.as_str())
        .collect();
    let (tokens, fingerprints): (Vec<_>, Vec<_>) =
        origins.iter().map(|origin| repeat(origin)).unzip();
    let are_secure: Vec<bool> = origins
        .iter()
        .map(|origin| origin.secure_transport)
        .collect();
    let client_request_ids: Vec<Option<String>> = origins
        .iter()
        .map(|origin| client_request_id(origin))
        .collect();
    vec![
        (
            Box::new(texts(|origin| origin.request_id.to_string())),
            Type::TEXT_ARRAY,
        ),
        (Box::new(times), Type::INT8_ARRAY),
        (Box::new(texts(caller)), Type::TEXT_ARRAY),
        (
            Box::new(texts(|origin| origin.source_ip.to_string())),
            Type::TEXT_ARRAY,
        ),
        (Box::new(actions), Type::TEXT_ARRAY),
        (Box::new(tokens), Type::TEXT_ARRAY),
        (Box::new(fingerprints), Type::BYTEA_ARRAY),
        (Box::new(are_secure), Type::BOOL_ARRAY),
        (Box::new(client_request_ids), Type::TEXT_ARRAY),
        (Box::new(replica.id().map(str::to_owned)), Type::TEXT),
    ]
}

fn client_request_id(origin: &Origin) -> Option<String> {
    let id = origin.client_request_id.as_ref();
    id.map(|id: &ClientRequestId| id.as_str().to_owned())
}

/// The name of the caller. PostgreSQL can't keep U+0000, which the subject of a token may have.
fn caller(origin: &Origin) -> String {
    origin.caller.as_str().replace('\0', "\u{fffd}")
}

fn repeat(origin: &Origin) -> (Option<String>, Option<Vec<u8>>) {
    let of = |repeat: &Repeat| (repeat.token.to_string(), repeat.fingerprint.0.to_vec());
    origin.repeat.as_ref().map(of).unzip()
}
