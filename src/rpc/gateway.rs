//! One request, from its first byte to its answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message as _;
use serde_json::{Value, json};
use tonic::body::Body;

use super::access_keys::AccessKeys;
use super::answer::{self, Format, Problem};
use super::authentication::{Refusal, Signature, Signed, authenticate};
use super::call::{Called, call};
use super::message::{action, message};
use super::nonces::{Moment, Nonces};
use super::parameters::{LONGEST_NAME, Parameters, decode, value};
use crate::domain::{Action, Error, Fault, RequestId, shortened};
use crate::grpc::proto::ListTagResourcesResponse;
use crate::grpc::{Handler, Peer};
use crate::service::RETRY_AFTER;
use crate::signature::VERSION;
use crate::telemetry::metrics::metrics;

/// The content type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// Answers requests of the cloud's RPC style.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handler: Handler,
    keys: Arc<ArcSwap<AccessKeys>>,
    nonces: Mutex<Nonces>,
    max_body_bytes: usize,
}

/// What stops a request before it is carried out.
struct Stop {
    status: StatusCode,
    code: String,
    message: String,
    retry_after: Option<Duration>,
}

impl Gateway {
    /// A gateway to a handler, for those who have one of the keys. Bodies have at most so many bytes.
    #[must_use]
    pub fn new(handler: Handler, keys: Arc<ArcSwap<AccessKeys>>, max_body_bytes: usize) -> Self {
        Self(Arc::new(Inner {
            handler,
            keys,
            nonces: Mutex::default(),
            max_body_bytes,
        }))
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>, peer: &Arc<Peer>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // The connection is not idle while the request is read.
        let counted = peer.enter(false);
        let (parts, body) = request.into_parts();
        let query = decode(parts.uri.query().unwrap_or_default().as_bytes());
        let mut format = Format::of(value(&query, "Format"));
        let result = match self.read(body).await {
            Ok(body) => {
                self.carry_out(&parts, query, &body, peer, &mut format)
                    .await
            }
            Err(stop) => Err(stop),
        };
        drop(counted);
        result.unwrap_or_else(|stop| {
            let request_id = RequestId::random();
            let Stop {
                status,
                code,
                message,
                retry_after,
            } = stop;
            metrics().server.rpc_refused(&code);
            let address = peer.address;
            let action = shortened(shown(&parts.headers, "x-acs-action"), LONGEST_NAME);
            tracing::warn!(%request_id, %address, action, code, error = message, "a request is refused");
            let problem = Problem {
                status,
                request_id: request_id.as_str(),
                host: shown(&parts.headers, HOST.as_str()),
                code: &code,
                message: &message,
                retry_after,
            };
            answer::problem(format, &problem)
        })
    }

    async fn read<B>(&self, body: B) -> Result<Bytes, Stop>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let limit = self.0.max_body_bytes;
        let body = Limited::new(body, limit).collect();
        match tokio::time::timeout(self.0.handler.request_timeout(), body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Stop::of(
                &Error::TooLarge(format!(
                    "the body is larger than {limit} bytes; name fewer resources"
                )),
                StatusCode::BAD_REQUEST,
            )),
            Ok(Err(error)) => Err(Stop::invalid(&format!(
                "the body could not be read: {error}"
            ))),
            Err(_) => Err(Stop::invalid("the body did not arrive in time")),
        }
    }

    async fn carry_out(
        &self,
        parts: &Parts,
        query: Vec<(String, String)>,
        body: &Bytes,
        peer: &Arc<Peer>,
        format: &mut Format,
    ) -> Result<Response<Body>, Stop> {
        if parts.method != Method::GET && parts.method != Method::POST {
            return Err(Stop::invalid("only GET and POST are known"));
        }
        if parts.uri.path() != "/" {
            return Err(Stop::invalid("only the path / is known"));
        }
        let in_query = query.len();
        let mut pairs = query;
        let is_form = is_form(&parts.headers);
        if is_form {
            pairs.extend(decode(body));
        }
        let parameters = Parameters::new(pairs).map_err(|fault| Stop::fault(&fault))?;
        *format = Format::of(parameters.get("Format"));
        let signed = Signed {
            method: &parts.method,
            path: parts.uri.path(),
            headers: &parts.headers,
            query: &parameters.pairs()[..in_query],
            parameters: &parameters,
            body,
        };
        let keys = self.0.keys.load();
        let now = Moment::now();
        let (key, signature) =
            authenticate(&signed, &keys, &self.0.nonces, now).map_err(Stop::refusal)?;
        if !is_form && !body.is_empty() {
            return Err(Stop::no_form(&parts.headers));
        }
        let action = asked(signature, &parts.headers, &parameters)?;
        let message = message(action, &parameters).map_err(|fault| Stop::fault(&fault))?;
        let traceparent = parts.headers.get("traceparent");
        let (caller, account) = (key.caller.clone(), &key.account);
        let outcome = call(
            &self.0.handler,
            peer,
            action,
            caller,
            account,
            traceparent,
            &message,
        );
        Ok(respond(
            *format,
            action,
            shown(&parts.headers, HOST.as_str()),
            &outcome.await,
        ))
    }
}

/// Which action is asked for: in what is signed, a header (V3 alone) or a parameter.
fn asked(
    signature: Signature,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<Action, Stop> {
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
        return Err(Stop {
            status: StatusCode::BAD_REQUEST,
            code: "InvalidVersion".to_owned(),
            message: format!("version {:?} is not known; give {VERSION}", told(&version)),
            retry_after: None,
        });
    }
    let name = given("x-acs-action", "Action");
    action(&name).ok_or_else(|| Stop {
        status: StatusCode::NOT_FOUND,
        code: "InvalidAction.NotFound".to_owned(),
        message: format!(
            "action {:?} is not known; give UntagResources, TagResources or ListTagResources",
            told(&name)
        ),
        retry_after: None,
    })
}

fn respond(format: Format, action: Action, host: &str, called: &Called) -> Response<Body> {
    let request_id = called.request_id.as_str();
    let message = match &called.result {
        Ok(message) => message,
        Err(failure) => {
            let problem = Problem {
                status: answer::http_status(failure.status),
                request_id,
                host,
                code: &failure.code,
                message: &failure.message,
                retry_after: failure.retry_after,
            };
            return answer::problem(format, &problem);
        }
    };
    let content = match action {
        Action::UntagResources | Action::TagResources => json!({"RequestId": request_id}),
        Action::ListTagResources => match ListTagResourcesResponse::decode(message.clone()) {
            Ok(page) => page_of_tags(&page),
            Err(error) => {
                // It is our own message.
                tracing::error!(%error, request_id, "the answer can't be read back");
                let problem = Problem {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    request_id,
                    host,
                    code: Error::Internal.code(),
                    message: &Error::Internal.to_string(),
                    retry_after: None,
                };
                return answer::problem(format, &problem);
            }
        },
    };
    let root = format!("{}Response", action.operation());
    answer::success(format, &root, request_id, &content)
}

fn page_of_tags(page: &ListTagResourcesResponse) -> Value {
    let tags: Vec<Value> = page
        .tag_resources
        .iter()
        .map(|tag| {
            json!({
                "ResourceType": tag.resource_type,
                "ResourceId": tag.resource_id,
                "TagKey": tag.tag_key,
                "TagValue": tag.tag_value,
            })
        })
        .collect();
    let mut content = json!({
        "RequestId": page.request_id,
        "IsTruncated": !page.next_token.is_empty(),
        "TagResources": {"TagResource": tags},
    });
    if !page.next_token.is_empty() {
        content["NextToken"] = page.next_token.as_str().into();
    }
    content
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

/// A header as text; empty where it is missing or none.
fn shown<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

impl Stop {
    fn of(error: &Error, status: StatusCode) -> Self {
        Self {
            status,
            code: error.code().to_owned(),
            message: error.to_string(),
            retry_after: None,
        }
    }

    fn fault(fault: &Fault) -> Self {
        Self::of(
            &Error::Invalid(vec![fault.clone()]),
            StatusCode::BAD_REQUEST,
        )
    }

    fn invalid(description: &str) -> Self {
        Self::fault(&super::parameters::malformed("", description))
    }

    /// A body that would be ignored, with the parameters that its sender believes to be in it.
    fn no_form(headers: &HeaderMap) -> Self {
        let content_type = match shown(headers, CONTENT_TYPE.as_str()) {
            "" => "none",
            content_type => content_type,
        };
        let content_type = shortened(content_type, LONGEST_NAME);
        Self::invalid(&format!(
            "the content type of the body is {content_type}; send parameters in the query, or as {FORM} in UTF-8"
        ))
    }

    fn refusal(refusal: Refusal) -> Self {
        let (code, message) = refusal.explain();
        let status = match refusal {
            Refusal::UnknownKey => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            retry_after: (refusal == Refusal::TooMany).then_some(RETRY_AFTER),
        }
    }
}
