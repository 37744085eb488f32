//! Protobuf to domain and back, and the one place where an error becomes a gRPC status.

mod admission;
mod bearer;
mod codec;
mod completion;
mod context;
mod deadline;
mod handler;
mod headers;
mod in_flight;
mod log_line;
mod message;
mod page_token;
mod parse;
mod peer;
mod protocol;
mod services;
mod status;
mod tag_service;

use std::time::Duration;

use tonic::service::{Routes, RoutesBuilder};
use tonic_health::server::HealthReporter;

pub use admission::Admission;
pub use handler::{Authenticated, Handler, Parts as HandlerParts, REQUEST_ID_HEADER, service_of};
pub use in_flight::InFlight;
pub use parse::{ACCOUNT_METADATA, list as parse_list, tag as parse_tag, untag as parse_untag};
pub use peer::Peer;
pub use protocol::has_grpc_content_type;
pub use services::Services;

use crate::domain::AccountId;
use crate::service::TagService;
use crate::store::Store;
use proto::tag_service_server::TagServiceServer;

/// The generated messages and services of `proto/ram/tag/v1/tag_service.proto`.
#[expect(clippy::pedantic, reason = "generated code")]
pub mod proto {
    tonic::include_proto!("ram.tag.v1");
}

/// The compiled contract, with its comments and its buf.validate rules, as reflection serves it.
pub const DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/tag_service_descriptor.binpb"));

/// The name of the tag service, as health and reflection know it.
pub const TAG_SERVICE: &str = "ram.tag.v1.TagService";

/// The name under which health tells whether the process lives, on the admin port.
pub const LIVENESS: &str = "liveness";

/// The name of the health service.
pub const HEALTH_SERVICE: &str = "grpc.health.v1.Health";

/// How requests are treated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The account of a request that names none.
    pub default_account: Option<AccountId>,
    /// The longest that a request may take; a caller's own deadline may be shorter.
    pub request_timeout: Duration,
    /// The largest request message, in bytes.
    pub max_message_bytes: usize,
    /// Whether the contract can be asked for by reflection.
    pub reflection: bool,
}

/// The services of the public port: tags, health and, where it is wanted, reflection.
///
/// # Errors
/// When the compiled contract can't be read back, which a test rules out.
pub fn public_services<S: Store>(
    service: TagService<S>,
    settings: &Settings,
    admission: Admission,
    health: HealthReporter,
) -> Result<Services, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of errors, so that grpcurl can print them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let default_account = settings.default_account.clone();
    let tags = tag_service::GrpcTagService::new(service, default_account, admission);
    let tags = TagServiceServer::new(tags);
    let mut routes = RoutesBuilder::default();
    routes.add_service(health_service(health));
    if settings.reflection {
        routes
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
    }
    Ok(Services::new(routes.routes()).with_tags(tags))
}

/// The services of the admin port: health.
#[must_use]
pub fn admin_services(health: HealthReporter) -> Services {
    Services::new(Routes::new(health_service(health)))
}

fn health_service(
    reporter: HealthReporter,
) -> tonic_health::pb::health_server::HealthServer<tonic_health::server::HealthService> {
    tonic_health::pb::health_server::HealthServer::new(
        tonic_health::server::HealthService::from_health_reporter(reporter),
    )
}
