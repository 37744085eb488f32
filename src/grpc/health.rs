//! The standard health service: `grpc.health.v1.Health`, with Check, List and Watch.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::parse::quoted;
use proto::health_check_response::ServingStatus;
use proto::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};

/// The generated messages and services of `proto/grpc/health/v1/health.proto`.
#[expect(
    clippy::pedantic,
    missing_docs,
    rustdoc::bare_urls,
    reason = "generated code"
)]
pub mod proto {
    tonic::include_proto!("grpc.health.v1");
}

/// The health of each service that is known by name.
#[derive(Debug, Clone)]
pub struct Health(watch::Sender<Statuses>);

type Statuses = BTreeMap<&'static str, ServingStatus>;

impl Health {
    /// A health service that knows these services, none of which serves yet.
    #[must_use]
    pub fn of(services: &[&'static str]) -> Self {
        let statuses = services
            .iter()
            .map(|service| (*service, ServingStatus::NotServing));
        Self(watch::Sender::new(statuses.collect()))
    }

    /// Sets the status of a service, and tells whoever watches it.
    pub fn set(&self, service: &'static str, status: ServingStatus) {
        self.0.send_modify(|statuses| {
            statuses.insert(service, status);
        });
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

/// The stream of the statuses of a service, from now on. The names are fixed, so that an unknown one stays unknown.
fn follow(
    statuses: watch::Receiver<Statuses>,
    service: &str,
) -> BoxStream<'static, Result<HealthCheckResponse, Status>> {
    let known = statuses
        .borrow()
        .get_key_value(service)
        .map(|(name, _)| *name);
    let Some(service) = known else {
        let unknown = stream::once(async { Ok(answer(ServingStatus::ServiceUnknown)) });
        return unknown.chain(stream::pending()).boxed();
    };
    let following = (statuses, None);
    let changes = stream::unfold(following, move |(mut statuses, last)| async move {
        loop {
            let now = statuses.borrow_and_update().get(service).copied();
            if now != last {
                let status = now.unwrap_or(ServingStatus::ServiceUnknown);
                return Some((Ok(answer(status)), (statuses, now)));
            }
            statuses.changed().await.ok()?;
        }
    });
    changes.boxed()
}

#[tonic::async_trait]
impl proto::health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        let statuses = self.0.borrow();
        let status = statuses.get(service.as_str()).copied();
        let status = status.ok_or_else(|| {
            Status::not_found(format!(
                "there is no service {}; name one that List names, or none for the server",
                quoted(service)
            ))
        })?;
        Ok(Response::new(answer(status)))
    }

    async fn list(
        &self,
        _request: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let statuses = self.0.borrow();
        let statuses = statuses
            .iter()
            .map(|(service, status)| ((*service).to_owned(), answer(*status)));
        Ok(Response::new(HealthListResponse {
            statuses: statuses.collect(),
        }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = &request.get_ref().service;
        Ok(Response::new(follow(self.0.subscribe(), service)))
    }
}
