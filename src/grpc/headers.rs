//! The headers of a request: how many there may be, and which of them are kept while the request is carried out.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use super::parse::ACCOUNT_METADATA;
use super::protocol::Protocol;
use crate::domain::{ClientRequestId, Error};

/// The header of every answer with its RequestId.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// The most headers of a request. Clients send about ten, and meshes of proxies twenty more.
const MOST_HEADERS: usize = 100;

/// The bytes that HTTP/2 counts for a header beside its text (RFC 9113, section 6.5.2).
const HEADER_OVERHEAD_BYTES: usize = 32;

/// The header of an answer with the caller's own name of the request.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Checks the number of the headers, and their size as HTTP/2 counts it.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn check<B>(request: &Request<B>, limit: usize) -> Result<(), Error> {
    let headers = request.headers();
    if headers.len() > MOST_HEADERS {
        return Err(Error::TooLarge(format!(
            "there are {} headers; send at most {MOST_HEADERS}",
            headers.len()
        )));
    }
    let size = size(request);
    if size > limit {
        return Err(Error::TooLarge(format!(
            "the headers have {size} bytes; send at most {limit}"
        )));
    }
    Ok(())
}

/// The size of the headers, those of HTTP/2's own included.
fn size<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let own = [
        (":method", request.method().as_str().len()),
        (":scheme", uri.scheme_str().map_or(0, str::len)),
        (
            ":authority",
            uri.authority().map_or(0, |host| host.as_str().len()),
        ),
        (
            ":path",
            uri.path_and_query().map_or(0, |path| path.as_str().len()),
        ),
    ];
    let own = own.map(|(name, length)| name.len() + length + HEADER_OVERHEAD_BYTES);
    let others = request.headers().iter();
    let others =
        others.map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES);
    own.into_iter().chain(others).sum()
}

/// The request without the headers that nobody needs any more once the caller and the deadline are known. What stays is
/// copied: as it came it would keep the buffer that it was read into.
pub fn trimmed<B>(request: Request<B>, protocol: Protocol) -> Request<B> {
    let (mut parts, body) = request.into_parts();
    let mut kept = HeaderMap::new();
    // In other protocols it says nothing.
    let encoding = (protocol == Protocol::Grpc).then_some(ENCODING);
    let account = HeaderName::from_static(ACCOUNT_METADATA);
    for name in encoding.into_iter().chain([account]) {
        // A second one is a fault, and a third is none more.
        for value in parts.headers.get_all(&name).iter().take(2) {
            if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
                kept.append(name.clone(), copy);
            }
        }
    }
    parts.headers = kept;
    // A path that was parsed can be parsed again.
    parts.uri = Uri::try_from(parts.uri.path()).unwrap_or_default();
    Request::from_parts(parts, body)
}

/// Whether the headers name an encoding of the message, which has to be refused whatever the message is.
pub fn has_encoding(headers: &HeaderMap) -> bool {
    headers
        .get(&ENCODING)
        .is_some_and(|encoding| encoding != "identity")
}

/// The caller's own name of the request: the one entry `x-request-id` that is such a name. Any other entry is no fault, and
/// counts as none.
#[must_use]
pub fn client_request_id(headers: &HeaderMap) -> Option<ClientRequestId> {
    let mut entries = headers.get_all(REQUEST_ID_HEADER).iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => ClientRequestId::parse(entry.as_bytes()),
        _ => None,
    }
}

/// Gives an answer the caller's own name of the request, where there is one.
pub fn return_client_request_id(headers: &mut HeaderMap, id: Option<&ClientRequestId>) {
    let value = id.map(|id| HeaderValue::from_str(id.as_str()));
    if let Some(Ok(value)) = value {
        headers.insert(CLIENT_REQUEST_ID, value);
    }
}
