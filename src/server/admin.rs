//! The HTTP part of the admin port: metrics, probes and the log level, for operators and the tools that watch.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use tonic::body::Body;

use super::readiness::State;
use crate::grpc::{HEALTH_SERVICE, Holder, OverBudget, Peer, has_grpc_content_type, service_of};
use crate::service::Audit;
use crate::telemetry::metrics::{Format, metrics};
use crate::telemetry::{LogLevel, SECURITY};

const TEXT: &str = "text/plain; charset=utf-8";
const ENDPOINTS: &str = "there are /metrics, /live, /ready and /log-level";
const NO_PAGES: &str =
    "a request with the header Origin comes from a web page, and no page may change the log level";
/// The longest filter of the log, in bytes.
const LONGEST_FILTER: usize = 4096;
/// How long a client may take to send the filter.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The answers of the admin port to what is not gRPC.
#[derive(Debug, Clone)]
pub struct Admin {
    pub readiness: Arc<ArcSwap<State>>,
    pub log_level: LogLevel,
    pub audit: Audit,
}

/// Whether a request is one of gRPC, or one to a gRPC service that only gRPC's answer can explain.
pub fn is_grpc<B>(request: &Request<B>) -> bool {
    has_grpc_content_type(request.headers()) || service_of(request.uri().path()) == HEALTH_SERVICE
}

impl Admin {
    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>, source: IpAddr) -> Response<Bytes>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let method = request.method().clone();
        let is_get = method == Method::GET || method == Method::HEAD;
        match request.uri().path() {
            "/live" if is_get => text(StatusCode::OK, "live"),
            "/ready" if is_get => {
                let state = self.readiness.load();
                let status = match **state {
                    State::Ready(_) => StatusCode::OK,
                    State::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
                };
                text(status, &state.words())
            }
            "/metrics" if is_get => {
                let accept = request.headers().get_all(ACCEPT).iter();
                let accept: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
                scrape(Format::accepted(&accept.join(",")))
            }
            "/log-level" if is_get => text(StatusCode::OK, &self.log_level.get()),
            // A browser says so of each PUT of a page, also of one that has this port's name (DNS rebinding).
            "/log-level" if method == Method::PUT && request.headers().contains_key(ORIGIN) => {
                text(StatusCode::FORBIDDEN, NO_PAGES)
            }
            "/log-level" if method == Method::PUT => self.change_log_level(request, source).await,
            "/log-level" => not_allowed("GET, HEAD, PUT"),
            "/live" | "/ready" | "/metrics" => not_allowed("GET, HEAD"),
            _ => text(StatusCode::NOT_FOUND, ENDPOINTS),
        }
    }

    async fn change_log_level<B>(&self, request: Request<B>, source: IpAddr) -> Response<Bytes>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = Limited::new(request.into_body(), LONGEST_FILTER).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => {
                return text(StatusCode::BAD_REQUEST, &format!("no filter: {error}"));
            }
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the filter did not arrive"),
        };
        let Ok(filter) = std::str::from_utf8(&body) else {
            return text(StatusCode::BAD_REQUEST, "the filter is not UTF-8");
        };
        let filter = filter.trim();
        let before = self.log_level.get();
        let change = || self.log_level.set(filter);
        let changed = self.audit.log_level(source, (&before, filter), change);
        match changed.await {
            Ok(Ok(())) => {
                tracing::warn!(target: SECURITY, %source, before, filter, "the log level has changed");
                text(StatusCode::OK, filter)
            }
            Ok(Err(error)) => text(StatusCode::BAD_REQUEST, &error.to_string()),
            Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        }
    }
}

fn scrape(format: Format) -> Response<Bytes> {
    match metrics().render(format) {
        Ok(rendered) => respond(StatusCode::OK, format.content_type(), rendered),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn not_allowed(allowed: &'static str) -> Response<Bytes> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {allowed}"));
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn text(status: StatusCode, line: &str) -> Response<Bytes> {
    respond(status, TEXT, format!("{line}\n"))
}

/// The answer as it is sent, with the charge for it: a client that takes none of its answers gets no more of them.
pub fn charged(response: Response<Bytes>, peer: &Peer) -> Response<Body> {
    let response = match peer.charge(Holder::Caller, response.body().len()) {
        Ok(charge) => response.map(|body| charge.kept_with(body)),
        Err(OverBudget) => text(StatusCode::SERVICE_UNAVAILABLE, "take the answers first"),
    };
    response.map(|body| {
        let body = Full::new(body).map_err(|never: Infallible| match never {});
        Body::new(body)
    })
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
