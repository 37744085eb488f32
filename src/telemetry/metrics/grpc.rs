//! The metrics of gRPC calls, under the names that gRPC dashboards know (go-grpc-prometheus).

use std::array;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Labels;

/// The buckets for calls, in seconds: from a list in memory to a change that waits for its deadline.
const BUCKETS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// The label of what is not known: callers can name services and methods without end, and labels must end.
const UNKNOWN: &str = "unknown";

/// The names of the codes, as gRPC for Go writes them and dashboards expect them, in the order of their numbers.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];
const CANCELLED: usize = 1;
const UNKNOWN_CODE: usize = 2;

struct Method {
    service: &'static str,
    name: &'static str,
    kind: Kind,
}

/// How many messages a method takes and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One message each way.
    Unary,
    /// One message, and a stream of answers.
    ServerStream,
    /// A stream of messages each way.
    BidiStream,
    /// There is no such method.
    Unknown,
}

impl Kind {
    /// Whether such methods answer with a stream.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::ServerStream | Self::BidiStream)
    }

    /// The label of the kind, as gRPC dashboards know it.
    fn label(self) -> &'static str {
        match self {
            Self::Unary | Self::Unknown => "unary",
            Self::ServerStream => "server_stream",
            Self::BidiStream => "bidi_stream",
        }
    }
}

const fn method(service: &'static str, name: &'static str, kind: Kind) -> Method {
    Method {
        service,
        name,
        kind,
    }
}

const TAGS: &str = "ram.tag.v1.TagService";
const CHANGES: &str = "ram.tag.v1.ChangeService";
const USERS: &str = "ram.user.v1.UserService";
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// All methods that have series: those of a service, and behind them one for its unknown ones; the most frequent first.
const METHODS: [Method; 28] = [
    method(TAGS, "UntagResources", Kind::Unary),
    method(TAGS, "TagResources", Kind::Unary),
    method(TAGS, "ListTagResources", Kind::Unary),
    method(TAGS, "ListTagKeys", Kind::Unary),
    method(TAGS, "ListTagValues", Kind::Unary),
    method(TAGS, UNKNOWN, Kind::Unknown),
    method(CHANGES, "GetChange", Kind::Unary),
    method(CHANGES, "ListChanges", Kind::Unary),
    method(CHANGES, "RevertChange", Kind::Unary),
    method(CHANGES, "WatchChanges", Kind::ServerStream),
    method(CHANGES, UNKNOWN, Kind::Unknown),
    method(USERS, "GetUser", Kind::Unary),
    method(USERS, "ListUsers", Kind::Unary),
    method(USERS, "CreateUser", Kind::Unary),
    method(USERS, "UpdateUser", Kind::Unary),
    method(USERS, "DeleteUser", Kind::Unary),
    method(USERS, "UndeleteUser", Kind::Unary),
    method(USERS, "ImportUsers", Kind::BidiStream),
    method(USERS, UNKNOWN, Kind::Unknown),
    method(HEALTH, "Check", Kind::Unary),
    method(HEALTH, "List", Kind::Unary),
    method(HEALTH, "Watch", Kind::ServerStream),
    method(HEALTH, UNKNOWN, Kind::Unknown),
    method(REFLECTION, "ServerReflectionInfo", Kind::BidiStream),
    method(REFLECTION, UNKNOWN, Kind::Unknown),
    method(REFLECTION_ALPHA, "ServerReflectionInfo", Kind::BidiStream),
    method(REFLECTION_ALPHA, UNKNOWN, Kind::Unknown),
    method(UNKNOWN, UNKNOWN, Kind::Unknown),
];

impl Method {
    fn labels(&self) -> Labels {
        vec![
            ("grpc_service", self.service),
            ("grpc_method", self.name),
            ("grpc_type", self.kind.label()),
        ]
    }
}

/// The index in [`METHODS`] of the method in a request's path.
fn index_of(path: &str) -> usize {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (service, name) = path.split_once('/').unwrap_or_default();
    METHODS
        .iter()
        .position(|known| known.service == service && (known.name == name || known.name == UNKNOWN))
        .unwrap_or(METHODS.len() - 1)
}

/// The kind of the method in a request's path.
#[must_use]
pub fn kind_of(path: &str) -> Kind {
    METHODS[index_of(path)].kind
}

/// The series of one method, found once: a request looks no name up.
#[derive(Debug)]
struct Series {
    started: Counter,
    handled: [Counter; CODES.len()],
    seconds: Histogram,
}

/// The series of all methods.
#[derive(Debug)]
pub struct Calls([Series; METHODS.len()]);

impl Calls {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let started = Family::<Labels, Counter>::default();
        let handled = Family::<Labels, Counter>::default();
        let seconds =
            Family::<Labels, Histogram, _>::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register(
            "grpc_server_started",
            "Calls that have begun",
            started.clone(),
        );
        registry.register(
            "grpc_server_handled",
            "Calls that have ended, by their code",
            handled.clone(),
        );
        registry.register(
            "grpc_server_handling_seconds",
            "How long calls took, up to the end of the answer",
            seconds.clone(),
        );
        Self(array::from_fn(|index| {
            let labels = METHODS[index].labels();
            Series {
                started: started.get_or_create_owned(&labels),
                handled: array::from_fn(|code| {
                    let mut labels = labels.clone();
                    labels.push(("grpc_code", CODES[code]));
                    handled.get_or_create_owned(&labels)
                }),
                seconds: seconds.get_or_create_owned(&labels),
            }
        }))
    }

    /// Counts a call that begins now.
    #[must_use]
    pub fn start(&'static self, path: &str) -> Call {
        let series = &self.0[index_of(path)];
        series.started.inc();
        Call(Some((series, Instant::now())))
    }
}

/// A call that goes on. One that is dropped was cancelled.
#[derive(Debug)]
pub struct Call(Option<(&'static Series, Instant)>);

impl Call {
    /// Counts the end of the call, by the number of its code. Only the first end counts.
    pub fn finish(&mut self, code: i32) {
        let code = usize::try_from(code).unwrap_or(UNKNOWN_CODE);
        self.end(code);
    }

    fn end(&mut self, code: usize) {
        let Some((series, started)) = self.0.take() else {
            return;
        };
        let code = if code < CODES.len() {
            code
        } else {
            UNKNOWN_CODE
        };
        series.handled[code].inc();
        series.seconds.observe(started.elapsed().as_secs_f64());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(CANCELLED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_series_and_unknown_methods_share_one() {
        let name = |path: &str| {
            let Method { service, name, .. } = &METHODS[index_of(path)];
            format!("{service}/{name}")
        };
        for known in METHODS.iter().filter(|method| method.name != UNKNOWN) {
            let path = format!("/{}/{}", known.service, known.name);
            assert_eq!(format!("/{}", name(&path)), path);
        }
        assert_eq!(
            name("/ram.tag.v1.TagService/Nope"),
            format!("{TAGS}/unknown")
        );
        assert_eq!(
            name("/ram.tag.v1.TagService/UntagResources/x"),
            format!("{TAGS}/unknown")
        );
        for path in [
            "",
            "/",
            "//",
            "/x",
            "/ram.tag.v1.TagService",
            "/a/b/c",
            "/\u{1f600}/x",
        ] {
            assert_eq!(name(path), "unknown/unknown", "{path:?}");
        }
    }
}
