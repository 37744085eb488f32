//! Protobuf to domain and back, and the one place where an error becomes a gRPC status.

mod context;
mod handler;
mod in_flight;
mod log_line;
mod page_token;
mod parse;
mod status;
mod tag_service;

use std::time::Duration;

use tonic::service::{Routes, RoutesBuilder};
use tonic_health::server::HealthReporter;

pub use handler::Handler;
pub use in_flight::InFlight;
pub use parse::{list as parse_list, tag as parse_tag, untag as parse_untag};

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

/// The largest request message, in bytes. The largest valid one has a third of it.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// How requests are treated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The account of a request that names none.
    pub default_account: Option<AccountId>,
    /// The longest that a request may take; a caller's own deadline may be shorter.
    pub request_timeout: Duration,
}

/// The services of the public port: tags, health and reflection.
///
/// # Errors
/// When the compiled contract can't be read back, which a test rules out.
pub fn public_services<S: Store>(
    service: TagService<S>,
    settings: &Settings,
    health: HealthReporter,
) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of errors, so that grpcurl can print them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let tags = tag_service::GrpcTagService::new(service, settings.default_account.clone());
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(TagServiceServer::new(tags).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(health_service(health))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok(routes.routes().prepare())
}

/// The services of the admin port: health.
#[must_use]
pub fn admin_services(health: HealthReporter) -> Routes {
    Routes::new(health_service(health)).prepare()
}

fn health_service(
    reporter: HealthReporter,
) -> tonic_health::pb::health_server::HealthServer<tonic_health::server::HealthService> {
    tonic_health::pb::health_server::HealthServer::new(
        tonic_health::server::HealthService::from_health_reporter(reporter),
    )
}
