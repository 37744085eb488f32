//! The baseline `empty`: a handler that does nothing, served as tonic's own guide does it.

use std::io::Write as _;

use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use untag::grpc::proto;
use untag::grpc::proto::tag_service_server::{TagService, TagServiceServer};

use crate::Outcome;

/// The first argument that makes this program the server.
pub const ARGUMENT: &str = "serve-empty";

struct Empty;

#[tonic::async_trait]
impl TagService for Empty {
    async fn untag_resources(
        &self,
        _: Request<proto::UntagResourcesRequest>,
    ) -> Result<Response<proto::UntagResourcesResponse>, Status> {
        Ok(Response::new(proto::UntagResourcesResponse::default()))
    }

    async fn tag_resources(
        &self,
        _: Request<proto::TagResourcesRequest>,
    ) -> Result<Response<proto::TagResourcesResponse>, Status> {
        Ok(Response::new(proto::TagResourcesResponse::default()))
    }

    async fn list_tag_resources(
        &self,
        _: Request<proto::ListTagResourcesRequest>,
    ) -> Result<Response<proto::ListTagResourcesResponse>, Status> {
        Ok(Response::new(proto::ListTagResourcesResponse::default()))
    }

    async fn list_tag_keys(
        &self,
        _: Request<proto::ListTagKeysRequest>,
    ) -> Result<Response<proto::ListTagKeysResponse>, Status> {
        Ok(Response::new(proto::ListTagKeysResponse::default()))
    }

    async fn list_tag_values(
        &self,
        _: Request<proto::ListTagValuesRequest>,
    ) -> Result<Response<proto::ListTagValuesResponse>, Status> {
        Ok(Response::new(proto::ListTagValuesResponse::default()))
    }
}

/// Serves until the process is killed, after printing the address.
pub fn serve() -> Outcome<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        // What `Server::serve` does with an address, except that the port is a free one.
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?.with_nodelay(Some(true));
        println!("{}", incoming.local_addr()?);
        std::io::stdout().flush()?;
        Server::builder()
            .add_service(TagServiceServer::new(Empty))
            .serve_with_incoming(incoming)
            .await?;
        Ok(())
    })
}
