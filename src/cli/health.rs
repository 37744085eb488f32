//! The subcommand `untag health`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tonic::transport::Endpoint;

use super::args::HealthArguments;
use super::fail;
use super::process::runtime;
use crate::grpc::health_proto::HealthCheckRequest;
use crate::grpc::health_proto::health_check_response::ServingStatus;
use crate::grpc::health_proto::health_client::HealthClient;
use crate::https::root_cause;

pub fn run(arguments: &HealthArguments) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(error),
    };
    let address = reachable(arguments.admin_listen);
    match runtime.block_on(ask(address, arguments.timeout)) {
        Ok(ServingStatus::Serving) => {
            println!("SERVING");
            ExitCode::SUCCESS
        }
        Ok(status) => fail(format_args!(
            "the service at {address} is {}",
            status.as_str_name()
        )),
        Err(error) => fail(format_args!(
            "cannot ask the service at {address}: {error}; give its admin address with --admin-listen"
        )),
    }
}

/// The address to ask a service at: loopback where the service listens on every address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

async fn ask(address: SocketAddr, timeout: Duration) -> Result<ServingStatus, String> {
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    let asked = async {
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| root_cause(&error).unwrap_or_else(|| error.to_string()))?;
        let request = HealthCheckRequest {
            service: String::new(),
        };
        let answer = HealthClient::new(channel).check(request).await;
        answer
            .map(|answer| answer.into_inner().status())
            .map_err(|status| status.message().to_owned())
    };
    tokio::time::timeout(timeout, asked)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
}
