//! Answers in JSON and XML, as the cloud API gives them.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tonic::Code;
use tonic::body::Body;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
}

impl Format {
    /// The format of the answer to a request that is not decoded, by its query.
    pub fn in_query(query: &str) -> Self {
        let mut parameters = query.split('&');
        Self::of(parameters.find_map(|parameter| parameter.strip_prefix("Format=")))
    }

    /// The format that the parameter `Format` asks for: JSON, unless it is XML.
    pub fn of(parameter: Option<&str>) -> Self {
        match parameter {
            Some(format) if format.eq_ignore_ascii_case("xml") => Self::Xml,
            _ => Self::Json,
        }
    }
}

/// An error in the cloud's form.
#[derive(Debug)]
pub struct Problem<'a> {
    pub status: StatusCode,
    pub request_id: &'a str,
    pub host: &'a str,
    pub code: &'a str,
    pub message: &'a str,
    pub retry_after: Option<Duration>,
}

/// The answer to a request that was carried out. `root` is the name of the XML element around it.
pub fn success(format: Format, root: &str, request_id: &str, content: &Value) -> Response<Body> {
    write(format, StatusCode::OK, root, request_id, content)
}

/// The answer to a request that was not carried out.
pub fn problem(format: Format, problem: &Problem<'_>) -> Response<Body> {
    let content = json!({
        "RequestId": problem.request_id,
        "HostId": problem.host,
        "Code": problem.code,
        "Message": problem.message,
        "Recommend": format!("https://api.alibabacloud.com/troubleshoot?q={}&product=Ims", problem.code),
    });
    let mut response = write(
        format,
        problem.status,
        "Error",
        problem.request_id,
        &content,
    );
    if let Some(after) = problem.retry_after {
        let milliseconds = HeaderValue::from(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        response
            .headers_mut()
            .insert("x-acs-retry-after", milliseconds);
    }
    response
}

/// The HTTP status of a gRPC code (the contract's table of errors).
pub fn http_status(code: Code) -> StatusCode {
    match code {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::FailedPrecondition | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::InvalidArgument | Code::ResourceExhausted | Code::Unimplemented => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The first character of a text that an answer in this format has no form for.
pub fn unwritable(format: Format, text: &str) -> Option<char> {
    match format {
        Format::Json => None,
        Format::Xml => text.chars().find(|character| !is_xml(*character)),
    }
}

fn write(
    format: Format,
    status: StatusCode,
    root: &str,
    request_id: &str,
    content: &Value,
) -> Response<Body> {
    let (content_type, text) = match format {
        Format::Json => ("application/json; charset=utf-8", content.to_string()),
        Format::Xml => {
            let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned();
            element(&mut text, root, content);
            ("text/xml; charset=utf-8", text)
        }
    };
    let body = Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {});
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-acs-request-id", request_id);
    }
    response
}

/// Appends an element. A list is its element again and again, as the cloud writes it.
fn element(text: &mut String, name: &str, content: &Value) {
    if let Value::Array(items) = content {
        for item in items {
            element(text, name, item);
        }
        return;
    }
    // Writing into a String does not fail.
    let _ = write!(text, "<{name}>");
    match content {
        Value::Object(members) => {
            for (name, content) in members {
                element(text, name, content);
            }
        }
        Value::String(value) => escape(text, value),
        other => {
            let _ = write!(text, "{other}");
        }
    }
    let _ = write!(text, "</{name}>");
}

/// Appends text. A character that XML has no form for becomes U+FFFD, in messages alone: data is checked before.
fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            // A parser would make a line feed of it.
            '\r' => text.push_str("&#13;"),
            character if is_xml(character) => text.push(character),
            _ => text.push(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// Whether XML 1.0 has a character (its section 2.2), which U+007F and those up to U+009F are too.
fn is_xml(character: char) -> bool {
    matches!(
        character,
        '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_has_elements_for_members_and_escapes_texts() {
        let content = json!({"A": "x<&>y\u{1}\r\u{7f}", "B": {"C": [{"D": 1}, {"D": true}]}});
        let mut text = String::new();
        element(&mut text, "Root", &content);
        assert_eq!(
            text,
            "<Root><A>x&lt;&amp;&gt;y\u{fffd}&#13;\u{7f}</A><B><C><D>1</D></C><C><D>true</D></C></B></Root>"
        );
    }
}
