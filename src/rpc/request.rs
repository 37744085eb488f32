//! A request that is here as a whole: the check of its signature, and the order that it gives.

use std::sync::Mutex;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use super::access_keys::AccessKeys;
use super::answer::Format;
use super::authentication::{Signature, Signed, authenticate};
use super::call::Sender;
use super::nonces::{Moment, Nonces};
use super::order::Order;
use super::parameters::{LONGEST_NAME, Parameters, decode};
use super::stop::Stop;
use super::task::Task;
use super::users::in_cloud_words;
use crate::domain::{Fault, Operation, shortened};
use crate::grpc::client_request_id;
use crate::signature::VERSION;

/// The content type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// How many parameters a request may have: far more than the largest that is carried out, so that one with too many users
/// or keys is told so.
const MOST_PARAMETERS: usize = 1000;

/// A request as it came, head and body.
pub struct Request<'a> {
    pub head: &'a Parts,
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Decodes the request, and finds out who has signed it and what is to be done. `format` becomes the one that the answer
    /// is asked for in.
    ///
    /// # Errors
    /// [`Stop`] where it is not to be carried out.
    pub fn order(
        &self,
        keys: &AccessKeys,
        nonces: &Mutex<Nonces>,
        format: &mut Format,
    ) -> Result<Order, Stop> {
        let Self { head, body } = self;
        if head.method != Method::GET && head.method != Method::POST {
            return Err(Stop::invalid("only GET and POST are known"));
        }
        if head.uri.path() != "/" {
            return Err(Stop::invalid("only the path / is known"));
        }
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let is_form = is_form(&head.headers);
        let form = if is_form { *body } else { &[] };
        check_count([query, form])?;
        let mut pairs = decode(query).map_err(Stop::fault)?;
        let in_query = pairs.len();
        pairs.extend(decode(form).map_err(Stop::fault)?);
        let parameters = Parameters::new(pairs).map_err(Stop::fault)?;
        *format = Format::of(parameters.get("Format"));
        let signed = Signed {
            method: &head.method,
            path: head.uri.path(),
            headers: &head.headers,
            query: &parameters.pairs()[..in_query],
            parameters: &parameters,
            body,
        };
        let (key, signature) =
            authenticate(&signed, keys, nonces, Moment::now()).map_err(Stop::refusal)?;
        let signed_by = |stop: Stop| Stop {
            signer: Some(key.caller.clone()),
            ..stop
        };
        if !is_form && !body.is_empty() {
            return Err(signed_by(no_form(&head.headers)));
        }
        let operation = asked(signature, &head.headers, &parameters).map_err(signed_by)?;
        let task = Task::of(operation, &parameters)
            .map_err(|fault| signed_by(faulty(operation, fault)))?;
        Ok(Order {
            operation,
            sender: Sender {
                caller: key.caller.clone(),
                account: key.account.clone(),
                traceparent: head.headers.get("traceparent").cloned(),
                client_request_id: client_request_id(&head.headers),
            },
            task,
        })
    }
}

/// The error of an operation whose parameters have a fault.
fn faulty(operation: Operation, fault: Fault) -> Stop {
    let stop = Stop::fault(fault);
    let (code, message) = in_cloud_words(operation, &stop.code, &stop.message);
    Stop {
        code,
        message,
        action: Some(operation.action()),
        ..stop
    }
}

/// Checks how many parameters there will be, before one of them takes memory of its own.
fn check_count(encoded: [&[u8]; 2]) -> Result<(), Stop> {
    let parts = encoded.map(|encoded| encoded.split(|byte| *byte == b'&'));
    let count = parts.into_iter().flatten();
    let count = count.filter(|part| !part.is_empty()).count();
    if count > MOST_PARAMETERS {
        return Err(Stop::too_large(format!(
            "the request has {count} parameters, and may have {MOST_PARAMETERS}; name fewer resources"
        )));
    }
    Ok(())
}

/// The operation that is asked for: in what is signed, a header (V3 alone) or a parameter.
fn asked(
    signature: Signature,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<Operation, Stop> {
    let given = |header, parameter| {
        let header = match signature {
            Signature::V1 => "",
            Signature::V3 => shown(headers, header),
        };
        match header {
            "" => parameters.get(parameter).unwrap_or_default().to_owned(),
            value => value.to_owned(),
        }
    };
    let told = |given: &str| shortened(given, LONGEST_NAME);
    let version = given("x-acs-version", "Version");
    if version != VERSION {
        return Err(Stop::new(
            StatusCode::BAD_REQUEST,
            "InvalidVersion",
            format!("version {:?} is not known; give {VERSION}", told(&version)),
        ));
    }
    let name = given("x-acs-action", "Action");
    Operation::parse(&name).ok_or_else(|| {
        let known = Operation::ALL.map(Operation::name).join(", ");
        Stop::new(
            StatusCode::NOT_FOUND,
            "InvalidAction.NotFound",
            format!("action {:?} is not known; there are {known}", told(&name)),
        )
    })
}

/// Whether the body is a form, in the one encoding that is read.
fn is_form(headers: &HeaderMap) -> bool {
    let content_type = shown(headers, CONTENT_TYPE.as_str()).to_ascii_lowercase();
    let (kind, parameters) = content_type.split_once(';').unwrap_or((&content_type, ""));
    let parameters = parameters
        .split(';')
        .filter_map(|part| part.split_once('='));
    let mut encodings = parameters.filter(|(name, _)| name.trim() == "charset");
    kind.trim() == FORM && encodings.all(|(_, value)| value.trim().trim_matches('"') == "utf-8")
}

/// The error of a body that would be ignored, with the parameters that its sender believes to be in it.
fn no_form(headers: &HeaderMap) -> Stop {
    let content_type = match shown(headers, CONTENT_TYPE.as_str()) {
        "" => "none",
        content_type => content_type,
    };
    let content_type = shortened(content_type, LONGEST_NAME);
    Stop::invalid(&format!(
        "the content type of the body is {content_type}; send parameters in the query, or as {FORM} in UTF-8"
    ))
}

/// A header as text; empty where it is missing or none.
pub fn shown<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
