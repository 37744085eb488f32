//! The gRPC layer: protobuf to domain and back, and the one module where an error becomes a gRPC status.

mod admission;
mod bearer;
mod budget;
mod change_message;
mod change_service;
mod change_token;
mod codec;
mod completion;
mod connect;
mod counted_body;
mod deadline;
mod details;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handler;
mod headers;
mod health;
mod held;
mod import;
mod import_message;
mod in_flight;
mod intake;
mod log_line;
mod message;
mod origin;
mod page_token;
mod parse;
mod peer;
mod progress;
mod protocol;
mod reflection;
mod refused;
mod request_check;
mod services;
mod status;
mod stream_host;
mod tag_counts;
mod tag_service;
mod underway;
mod user_message;
mod user_service;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use prost::DecodeError;
use prost_reflect::DescriptorError;
use tonic::service::{Routes, RoutesBuilder};

pub use admission::Admission;
pub use budget::{Budget, Charge, Holder, OverBudget};
pub use connect::Schema;
pub(crate) use handler::shutting_down;
pub use handler::{Handler, Parts as HandlerParts};
pub use headers::{REQUEST_ID_HEADER, client_request_id, return_client_request_id};
pub use health::{Health, proto as health_proto};
pub use in_flight::InFlight;
pub(crate) use in_flight::InFlightGuard;
pub(crate) use message::{with_prefix, without_prefix};
pub use origin::{Origins, parse as parse_origin};
pub use parse::{
    ACCOUNT_METADATA, Repeatable, change as parse_change, changes as parse_changes,
    create_user as parse_create_user, delete_user as parse_delete_user, get_user as parse_get_user,
    import_chunk as parse_import_chunk, import_settings as parse_import_settings,
    list as parse_list, list_users as parse_list_users, revert as parse_revert, tag as parse_tag,
    tag_keys as parse_tag_keys, tag_values as parse_tag_values,
    undelete_user as parse_undelete_user, untag as parse_untag, update_user as parse_update_user,
    watch as parse_watch,
};
pub use peer::Peer;
pub(crate) use peer::Term;
pub use protocol::has_grpc_content_type;
pub use request_check::Authenticated;
pub use services::{Services, service_of};
pub(crate) use user_message::timestamp;

use crate::domain::AccountId;
use crate::service::UseCases;
use crate::store::Store;
use change_service::GrpcChangeService;
use health_proto::health_server::HealthServer;
use intake::Intake;
use proto::change_service_server::ChangeServiceServer;
use proto::tag_service_server::TagServiceServer;
use proto::user::v1::user_service_server::UserServiceServer;
use reflection::Reflection;
use tag_service::GrpcTagService;
use user_service::GrpcUserService;

/// The generated messages and services of the contract. Those of `ram.tag.v1` stand in the module itself.
#[expect(
    clippy::pedantic,
    clippy::large_enum_variant,
    reason = "generated code"
)]
pub mod proto {
    // A module for each part of a package: what one generates finds another by a path of `super`.
    pub use tag::v1::*;

    /// The package `ram.tag`.
    pub mod tag {
        /// The package `ram.tag.v1`.
        pub mod v1 {
            tonic::include_proto!("ram.tag.v1");
        }
    }

    /// The package `ram.user`.
    pub mod user {
        /// The package `ram.user.v1`.
        pub mod v1 {
            tonic::include_proto!("ram.user.v1");
        }
    }
}

/// The compiled contract, with its comments and its buf.validate rules, as reflection serves it.
pub const DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/contract_descriptor.binpb"));

/// The compiled health service, as reflection serves it.
const HEALTH_DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/health_descriptor.binpb"));

/// The name of the tag service, as health and reflection know it.
pub const TAG_SERVICE: &str = "ram.tag.v1.TagService";

/// The name of the change service, as health and reflection know it.
pub const CHANGE_SERVICE: &str = "ram.tag.v1.ChangeService";

/// The name of the user service, as health and reflection know it.
pub const USER_SERVICE: &str = "ram.user.v1.UserService";

/// The name under which health tells whether the process lives, on the admin port.
pub const LIVENESS: &str = "liveness";

/// The name of the health service.
pub const HEALTH_SERVICE: &str = "grpc.health.v1.Health";

/// The settings of the tag service.
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
    /// The origins of the web pages that may call.
    pub origins: Origins,
}

/// The services of the public port: those of the contract, health and, where it is wanted, reflection.
///
/// # Errors
/// When the compiled contract can't be read back, which a test rules out.
pub fn public_services<S: Store>(
    use_cases: UseCases<S>,
    settings: &Settings,
    admission: Admission,
    health: Health,
) -> Result<Services, DecodeError> {
    let intake = Intake::new(settings.default_account.clone(), admission);
    let tags = GrpcTagService::new(use_cases.tags, intake.clone());
    let changes = GrpcChangeService::new(use_cases.changes, intake.clone());
    let users = GrpcUserService::new(use_cases.users, intake);
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(HealthServer::new(health))
        .add_service(ChangeServiceServer::new(changes))
        // Other methods get their one message whole.
        .add_service(
            UserServiceServer::new(users).max_decoding_message_size(settings.max_message_bytes),
        );
    if settings.reflection {
        let reflection = Reflection::on(&[
            DESCRIPTORS,
            HEALTH_DESCRIPTORS,
            // The details of errors, so that grpcurl can print them.
            tonic_types::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ])?;
        let v1 = reflection::v1::Service(Arc::clone(&reflection));
        let v1alpha = reflection::v1alpha::Service(reflection);
        let limit = reflection::LARGEST_REQUEST;
        routes
            .add_service(
                reflection::v1::ServerReflectionServer::new(v1).max_decoding_message_size(limit),
            )
            .add_service(
                reflection::v1alpha::ServerReflectionServer::new(v1alpha)
                    .max_decoding_message_size(limit),
            );
    }
    Ok(Services::new(routes.routes()).with_tags(TagServiceServer::new(tags)))
}

/// The schema of the services that take one message and answer with one.
///
/// # Errors
/// When the compiled contract can't be read back, which a test rules out.
pub fn schema() -> Result<Schema, DescriptorError> {
    Schema::on(&[DESCRIPTORS, HEALTH_DESCRIPTORS])
}

/// The services of the admin port: health.
#[must_use]
pub fn admin_services(health: Health) -> Services {
    Services::new(Routes::new(HealthServer::new(health)))
}
