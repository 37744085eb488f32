//! A server that speaks TLS, with its files, and clients of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use untag::grpc::proto::UntagResourcesRequest;
use untag::grpc::proto::tag_service_client::TagServiceClient;

use crate::support::authority::{Authority, Pair};
use crate::support::{ALICE, Server, untag, untag_of};

pub type Client = TagServiceClient<Channel>;

/// The files of a server: its certificate, its key, the client CA, and its tags.
pub struct Files {
    directory: TempDir,
    /// Signs the server's certificates.
    pub servers: Authority,
    /// Signs the callers' certificates.
    pub callers: Authority,
}

impl Files {
    pub fn new() -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
            servers: Authority::new("servers"),
            callers: Authority::new("callers"),
        };
        files.write_pair(&files.servers.issue_for_server());
        files.write("client-ca.pem", &files.callers.pem());
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn write_pair(&self, pair: &Pair) {
        self.write("tls.crt", &pair.certificate);
        self.write("tls.key", &pair.key);
    }

    /// Starts a server with the sample data that speaks TLS, and looks at its files often.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        self.serve_every("0.05", arguments)
    }

    /// As [`Files::serve`], and looks at its files after so many seconds.
    pub fn serve_every(&self, seconds: &str, arguments: &[&str]) -> Server {
        Server::spawn(self.command(seconds, arguments))
    }

    /// As [`Files::serve`], and waits only until the ports are open.
    pub fn launch(&self, arguments: &[&str]) -> Server {
        Server::launch(self.command("0.05", arguments), ([127, 0, 0, 1], 0).into())
    }

    pub fn command(&self, reload_interval: &str, arguments: &[&str]) -> Command {
        let mut command = untag();
        command
            .args(["serve", "--sample-data", "--reload-interval"])
            .arg(reload_interval)
            .arg("--data-dir")
            .arg(self.path("data"))
            .arg("--tls-cert")
            .arg(self.path("tls.crt"))
            .arg("--tls-key")
            .arg(self.path("tls.key"))
            .args(arguments);
        command
    }

    /// As [`Files::serve`], and asks callers for certificates.
    pub fn serve_callers(&self, arguments: &[&str]) -> Server {
        let client_ca = self.path("client-ca.pem");
        let client_ca = client_ca.to_str().unwrap();
        self.serve(&[&["--client-ca", client_ca], arguments].concat())
    }

    /// A client that believes this authority and shows this certificate.
    pub async fn connect(
        server: &Server,
        authority: &Authority,
        identity: Option<&Pair>,
    ) -> Result<Client, tonic::transport::Error> {
        let channel = endpoint(server, authority, identity).connect().await?;
        Ok(TagServiceClient::new(channel))
    }

    /// A client that the server believes, or one that shows nothing.
    pub async fn client(&self, server: &Server, identity: Option<&Pair>) -> Client {
        let client = Self::connect(server, &self.servers, identity).await;
        client.expect("the server takes the connection")
    }
}

pub fn endpoint(server: &Server, authority: &Authority, identity: Option<&Pair>) -> Endpoint {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
    if let Some(Pair { certificate, key }) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Endpoint::from_shared(format!("https://{}", server.address))
        .unwrap()
        .tls_config(tls)
        .unwrap()
}

/// A request that removes a tag from Alice of the sample data.
pub fn untag_alice() -> UntagResourcesRequest {
    untag_of(ALICE)
}

/// A request with a bearer token.
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let entry = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", entry);
    request
}

/// A request that has so much time.
pub fn in_time<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// Makes a change, and tells its RequestId.
pub async fn change(server: &Server) -> String {
    let mut client = server.client().await;
    let answer = client.untag_resources(untag_alice()).await.unwrap();
    answer.into_inner().request_id
}

/// The lines of an audit file so far.
pub fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
