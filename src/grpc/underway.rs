//! A request under way, as the handler around its method knows it.

use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;

use super::origin::{Origins, Page};
use super::progress::Progress;
use super::protocol::Protocol;
use super::services::ServiceKind;
use super::{headers, status};
use crate::domain::{ClientRequestId, Error, RequestId};

/// The facts of a request that are known from the start, and how far it has got.
#[derive(Debug)]
pub struct Underway {
    /// The RequestId that the request got here.
    pub id: RequestId,
    /// The caller's own name of the request, where it has given one.
    pub client_id: Option<ClientRequestId>,
    /// The path of the request.
    pub path: String,
    /// The service in the path.
    pub service: ServiceKind,
    /// The protocol that the request is in.
    pub protocol: Protocol,
    /// The web page that the request comes from.
    pub page: Page,
    /// The stage of the request, which its method moves on.
    pub progress: Arc<Progress>,
}

impl Underway {
    /// A request that has just arrived, where pages of these origins may call.
    pub fn of<B>(request: &Request<B>, origins: &Origins) -> Self {
        let path = request.uri().path();
        Self {
            id: RequestId::now(),
            client_id: headers::client_request_id(request.headers()),
            path: path.to_owned(),
            service: ServiceKind::of(path),
            protocol: Protocol::of(request.headers()),
            page: origins.page(request.headers()),
            progress: Arc::default(),
        }
    }

    /// The RequestId to answer with: that of another service, where one has carried the request out.
    pub fn answer_id(&self) -> RequestId {
        self.progress.adopted_id().unwrap_or(self.id)
    }

    /// The answer of a request that has failed.
    pub fn refusal(&self, error: &Error) -> Response<Body> {
        status::from_error(error, self.answer_id()).into_http()
    }
}
