//! An API server: what `kubectl` needs of one, in memory. It adds the defaults that make a difference to `kubectl apply`,
//! refuses changes of fields that can't be changed, and says at once that everything runs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::discovery::{self, KINDS, Kind};
use super::objects::{Answer, Objects};
use super::rendering::file;
use super::typed;

/// A server and the configuration that leads `kubectl` to it.
pub struct ApiServer {
    objects: Arc<Mutex<Objects>>,
    /// Has `kubeconfig`.
    directory: TempDir,
}

impl ApiServer {
    /// Starts one with no objects but the namespaces that each cluster has.
    pub fn start() -> Self {
        let objects = Arc::new(Mutex::new(Objects::new()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::clone(&objects);
        // It ends with the process.
        thread::spawn(move || serve(listener, &served));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        std::fs::write(path, kubeconfig(address)).unwrap();
        Self { objects, directory }
    }

    /// The file that `KUBECONFIG` names.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// The objects of a namespace: kinds and names.
    pub fn names_in(&self, namespace: &str) -> Vec<String> {
        self.objects.lock().unwrap().names_in(namespace)
    }
}

/// `kubectl` with the configuration of a cluster.
pub fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Output {
    let program = file("target/kubernetes/kubectl");
    let output = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        // Where it keeps what it has discovered.
        .env("HOME", kubeconfig.parent().unwrap())
        .output();
    output.expect("kubectl is missing: run scripts/setup kubectl")
}

fn kubeconfig(address: SocketAddr) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    })
    .to_string()
}

#[tokio::main(flavor = "current_thread")]
async fn serve(listener: std::net::TcpListener, objects: &Arc<Mutex<Objects>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let objects = Arc::clone(objects);
        let service = service_fn(move |request| answer(request, Arc::clone(&objects)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    objects: Arc<Mutex<Objects>>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes);
    let body = typed::parse(&body.unwrap_or_default());
    let path = head.uri.path();
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    if let Some(document) = discovery::document(path) {
        return Ok(json_response(StatusCode::OK, &document));
    }
    let Some(target) = Target::parse(path) else {
        let answer = Answer::not_found(path);
        return Ok(json_response(answer.status, &answer.body));
    };
    if query.contains_key("sendInitialEvents") {
        let answer = Answer::invalid("sendInitialEvents is not supported");
        return Ok(json_response(answer.status, &answer.body));
    }
    if query.contains_key("watch") {
        return Ok(silent());
    }
    let answer = objects
        .lock()
        .unwrap()
        .carry_out(&head.method, &target, &query, body);
    Ok(json_response(answer.status, &answer.body))
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    response.body(Full::from(body.to_string()).boxed()).unwrap()
}

/// A watch of what never changes.
fn silent() -> Response<Body> {
    let body = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
    let response = Response::builder().header("content-type", "application/json");
    response.body(StreamBody::new(body).boxed()).unwrap()
}

/// The target that a path of the API names.
pub struct Target<'path> {
    pub kind: &'static Kind,
    pub namespace: Option<&'path str>,
    pub name: Option<&'path str>,
    pub subresource: Option<&'path str>,
}

impl<'path> Target<'path> {
    fn parse(path: &'path str) -> Option<Self> {
        let path = path.trim_start_matches('/');
        let find = |rest: &str, plural: &str| {
            KINDS
                .iter()
                .find(|kind| rest.starts_with(kind.root) && kind.plural == plural)
        };
        let depth = if path.starts_with("apis/") { 3 } else { 2 };
        let parts: Vec<&str> = path.split('/').skip(depth).collect();
        let (namespace, rest) = match parts[..] {
            ["namespaces", namespace, _, ..] => (Some(namespace), &parts[2..]),
            _ => (None, &parts[..]),
        };
        Some(Self {
            kind: find(path, rest.first()?)?,
            namespace,
            name: rest.get(1).copied(),
            subresource: rest.get(2).copied(),
        })
    }

    pub fn is_collection_read(&self, method: &Method) -> bool {
        *method == Method::GET && self.name.is_none()
    }
}
