//! Removes a tag from a user by gRPC: over TLS, with a token, once however often it has to be sent, and with the details of errors.
//!
//! Usage: `untag-example HOST:PORT CA_FILE TOKEN_FILE USER_ID TAG_KEY`

use std::env;
use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetail, StatusExt as _};
use uuid::Uuid;

use contract::tag_service_client::TagServiceClient;
use contract::untag_resources_request::Resources;
use contract::{ResourceIds, UntagResourcesRequest, UntagResourcesResponse};

mod contract {
    tonic::include_proto!("ram.tag.v1");
}

/// How long a call may take.
const CALL_TIME: Duration = Duration::from_secs(5);
/// How long a call is sent again.
const RETRY_TIME: Duration = Duration::from_secs(60);

/// A channel to the service, which connects when it is used first.
fn connect(address: &str, ca_file: &str) -> Result<Channel, Box<dyn Error>> {
    let authority = Certificate::from_pem(fs::read(ca_file)?);
    let tls = ClientTlsConfig::new().ca_certificate(authority);
    let endpoint = Endpoint::from_shared(format!("https://{address}"))?;
    Ok(endpoint.tls_config(tls)?.connect_lazy())
}

/// A request that shows the token of a file. The file is read for each call: what puts tokens there renews them.
fn with_token<T>(message: T, token_file: &str) -> Result<Request<T>, Box<dyn Error>> {
    let token = fs::read_to_string(token_file)?;
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", token.trim()).parse()?;
    request.metadata_mut().insert("authorization", bearer);
    request.set_timeout(CALL_TIME);
    Ok(request)
}

/// How long to wait before the same request is sent again; `None` where that does not help.
fn pause_after(error: &Status, attempt: u32) -> Option<Duration> {
    let details = error.get_error_details();
    let told = details.retry_info().and_then(|retry| retry.retry_delay);
    match error.code() {
        Code::Unavailable => Some(told.unwrap_or_else(|| {
            let longest = Duration::from_millis(100 << attempt.min(10)).min(Duration::from_secs(2));
            longest.mul_f64(rand::random_range(0.5..1.0))
        })),
        // Without a time the request itself is too large.
        Code::ResourceExhausted => told,
        _ => None,
    }
}

async fn untag(
    mut service: TagServiceClient<Channel>,
    token_file: &str,
    user: &str,
    key: &str,
) -> Result<UntagResourcesResponse, Box<dyn Error>> {
    let message = UntagResourcesRequest {
        resources: Some(Resources::ResourceIds(ResourceIds {
            values: vec![user.to_owned()],
        })),
        tag_keys: vec![key.to_owned()],
        // It makes the request one change: an attempt whose answer was lost is not made twice.
        client_token: Uuid::new_v4().to_string(),
        ..UntagResourcesRequest::default()
    };
    let end = Instant::now() + RETRY_TIME;
    for attempt in 0.. {
        let request = with_token(message.clone(), token_file)?;
        let error = match service.untag_resources(request).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(error) => error,
        };
        match pause_after(&error, attempt) {
            Some(pause) if Instant::now() + pause < end => {
                // What is wrong with a connection stands in its source.
                eprintln!("once more: {:?}: {:?}", error.code(), error.source());
                tokio::time::sleep(pause).await;
            }
            _ => return Err(error.into()),
        }
    }
    unreachable!("the loop ends by its time")
}

/// Prints what the details of an error say.
fn explain(error: &Status) {
    let details = error.get_error_details();
    if let Some(info) = details.error_info() {
        println!(
            "{:?} {}: {}",
            error.code(),
            info.metadata["code"],
            error.message()
        );
    }
    for fault in details
        .bad_request()
        .iter()
        .flat_map(|bad| &bad.field_violations)
    {
        println!("  {}: {}", fault.field, fault.description);
    }
    // There may be several of them.
    for detail in error.get_error_details_vec() {
        if let ErrorDetail::ResourceInfo(info) = detail {
            println!("  {} {}", info.resource_type, info.resource_name);
        }
    }
    if let Some(info) = details.request_info() {
        println!("  request {}", info.request_id);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, ca_file, token_file, user, key] = arguments.as_slice() else {
        return Err("give HOST:PORT CA_FILE TOKEN_FILE USER_ID TAG_KEY".into());
    };
    let service = TagServiceClient::new(connect(address, ca_file)?);
    match untag(service, token_file, user, key).await {
        Ok(answer) => {
            let (tags, revision) = (answer.changed_tags(), answer.revision());
            println!(
                "removed {tags} tag in revision {revision}, request {}",
                answer.request_id
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let Some(status) = error.downcast_ref::<Status>() else {
                return Err(error);
            };
            explain(status);
            eprintln!("the tag was not removed: {:?}", status.code());
            Ok(ExitCode::FAILURE)
        }
    }
}
