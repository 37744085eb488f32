//! Server reflection, v1 and v1alpha: the compiled files of the services, by name and by what is in them.
//!
//! tonic's own service ends the stream at the first thing that it does not know, where the protocol has an answer for
//! that, and it knows no extensions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use prost::{DecodeError, Message};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

use super::parse::quoted;

/// The largest request, in bytes: it is a name.
pub const LARGEST_REQUEST: usize = 4096;
/// How many requests of a stream may wait until its client takes the answers to those before them. They are read all the same:
/// unread, each would keep the buffer that it came in.
const MOST_WAITING: usize = 60;

/// The compiled files as they are served, and the file of each name.
#[derive(Debug, Default)]
pub struct Reflection {
    services: Vec<String>,
    files: HashMap<String, Bytes>,
    symbols: HashMap<String, Bytes>,
    /// The file of each extension, by the extended type and the number.
    extensions: HashMap<String, BTreeMap<i32, Bytes>>,
}

/// A `google.protobuf.FileDescriptorSet` whose files stay as they are: decoded, they would lose their custom options.
#[derive(Clone, PartialEq, Message)]
struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// The content of an answer, for either version.
enum Found {
    File(Bytes),
    ExtensionNumbers(String, Vec<i32>),
    Services(Vec<String>),
    Nothing(Code, String),
}

impl Reflection {
    /// Reflection on the files of these compiled sets. Of two files with one name the first counts.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that are no set.
    pub fn on(sets: &[&'static [u8]]) -> Result<Arc<Self>, DecodeError> {
        let mut reflection = Self::default();
        for set in sets {
            for raw in RawSet::decode(*set)?.file {
                let file = FileDescriptorProto::decode(raw.clone())?;
                if !reflection.files.contains_key(file.name()) {
                    reflection.add(&file, &raw);
                }
            }
        }
        Ok(Arc::new(reflection))
    }

    fn add(&mut self, file: &FileDescriptorProto, raw: &Bytes) {
        self.files.insert(file.name().to_owned(), raw.clone());
        let package = file.package();
        for message in &file.message_type {
            self.add_message(package, message, raw);
        }
        for enumeration in &file.enum_type {
            self.add_enum(package, enumeration, raw);
        }
        for extension in &file.extension {
            self.add_extension(package, extension, raw);
        }
        for service in &file.service {
            let name = self.add_symbol(package, service.name(), raw);
            for method in &service.method {
                self.add_symbol(&name, method.name(), raw);
            }
            self.services.push(name);
        }
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto, raw: &Bytes) {
        let name = self.add_symbol(scope, message.name(), raw);
        for field in &message.field {
            self.add_symbol(&name, field.name(), raw);
        }
        for oneof in &message.oneof_decl {
            self.add_symbol(&name, oneof.name(), raw);
        }
        for extension in &message.extension {
            self.add_extension(&name, extension, raw);
        }
        for enumeration in &message.enum_type {
            self.add_enum(&name, enumeration, raw);
        }
        for nested in &message.nested_type {
            self.add_message(&name, nested, raw);
        }
        self.extensions.entry(name).or_default();
    }

    fn add_enum(&mut self, scope: &str, enumeration: &EnumDescriptorProto, raw: &Bytes) {
        let name = self.add_symbol(scope, enumeration.name(), raw);
        for value in &enumeration.value {
            // The scope of a value is that of its enum (protobuf's language specification), and both are asked for.
            self.add_symbol(scope, value.name(), raw);
            self.add_symbol(&name, value.name(), raw);
        }
    }

    fn add_extension(&mut self, scope: &str, extension: &FieldDescriptorProto, raw: &Bytes) {
        self.add_symbol(scope, extension.name(), raw);
        let extended = extension.extendee().trim_start_matches('.').to_owned();
        let numbers = self.extensions.entry(extended).or_default();
        numbers.insert(extension.number(), raw.clone());
    }

    fn add_symbol(&mut self, scope: &str, name: &str, raw: &Bytes) -> String {
        let name = if scope.is_empty() {
            name.to_owned()
        } else {
            format!("{scope}.{name}")
        };
        self.symbols.insert(name.clone(), raw.clone());
        name
    }

    fn file(&self, name: &str) -> Found {
        let file = self.files.get(name).cloned();
        file.map_or_else(|| unknown("file", name), Found::File)
    }

    fn file_with(&self, symbol: &str) -> Found {
        let file = self.symbols.get(symbol).cloned();
        file.map_or_else(|| unknown("symbol", symbol), Found::File)
    }

    fn file_with_extension(&self, extended: &str, number: i32) -> Found {
        let numbers = self.extensions.get(extended);
        let file = numbers.and_then(|numbers| numbers.get(&number)).cloned();
        let name = || format!("{extended}:{number}");
        file.map_or_else(|| unknown("extension", &name()), Found::File)
    }

    fn extension_numbers(&self, extended: &str) -> Found {
        match self.extensions.get(extended) {
            Some(numbers) => {
                Found::ExtensionNumbers(extended.to_owned(), numbers.keys().copied().collect())
            }
            None => unknown("message", extended),
        }
    }
}

fn unknown(what: &str, name: &str) -> Found {
    Found::Nothing(
        Code::NotFound,
        format!("there is no {what} {}", quoted(name)),
    )
}

/// The requests of a stream, read as they come.
fn read_ahead<T: Send + 'static>(
    mut requests: Streaming<T>,
) -> impl Stream<Item = Result<T, Status>> + Send {
    let (sender, mut receiver) = mpsc::channel(MOST_WAITING);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            // The last place is for this.
            let request = if sender.capacity() > 1 {
                request
            } else {
                Err(Status::resource_exhausted(format!(
                    "more than {MOST_WAITING} requests wait; take their answers first"
                )))
            };
            let is_last = request.is_err();
            if sender.try_send(request).is_err() || is_last {
                return;
            }
        }
    });
    stream::poll_fn(move |context| receiver.poll_recv(context))
}

/// The service in one of its versions, whose messages are alike.
macro_rules! serve {
    ($version:ident) => {
        pub mod $version {
            use std::sync::Arc;

            use futures_util::StreamExt as _;
            use futures_util::stream::BoxStream;
            use tonic::{Code, Request, Response, Status, Streaming};
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            pub use tonic_reflection::pb::$version::server_reflection_server::ServerReflectionServer;
            use tonic_reflection::pb::$version::server_reflection_server::ServerReflection;
            use tonic_reflection::pb::$version::{
                ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
                ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
            };

            use super::{Found, Reflection, read_ahead};

            /// The service on an index.
            #[derive(Debug)]
            pub struct Service(pub Arc<Reflection>);

            #[tonic::async_trait]
            impl ServerReflection for Service {
                type ServerReflectionInfoStream =
                    BoxStream<'static, Result<ServerReflectionResponse, Status>>;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let reflection = Arc::clone(&self.0);
                    let requests = read_ahead(request.into_inner());
                    let answers =
                        requests.map(move |asked| asked.map(|asked| answer(&reflection, asked)));
                    Ok(Response::new(answers.boxed()))
                }
            }

            fn answer(
                reflection: &Reflection,
                request: ServerReflectionRequest,
            ) -> ServerReflectionResponse {
                let found = match &request.message_request {
                    Some(MessageRequest::FileByFilename(name)) => reflection.file(name),
                    Some(MessageRequest::FileContainingSymbol(symbol)) => {
                        reflection.file_with(symbol)
                    }
                    Some(MessageRequest::FileContainingExtension(extension)) => reflection
                        .file_with_extension(
                            &extension.containing_type,
                            extension.extension_number,
                        ),
                    Some(MessageRequest::AllExtensionNumbersOfType(extended)) => {
                        reflection.extension_numbers(extended)
                    }
                    Some(MessageRequest::ListServices(_)) => {
                        Found::Services(reflection.services.clone())
                    }
                    None => Found::Nothing(
                        Code::InvalidArgument,
                        "the request asks for nothing; set one field of message_request".to_owned(),
                    ),
                };
                ServerReflectionResponse {
                    valid_host: request.host.clone(),
                    original_request: Some(request),
                    message_response: Some(response(found)),
                }
            }

            fn response(found: Found) -> MessageResponse {
                match found {
                    Found::File(file) => {
                        MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
                            file_descriptor_proto: vec![file.to_vec()],
                        })
                    }
                    Found::ExtensionNumbers(base_type_name, extension_number) => {
                        MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                            base_type_name,
                            extension_number,
                        })
                    }
                    Found::Services(services) => {
                        let service = services.into_iter().map(|name| ServiceResponse { name });
                        MessageResponse::ListServicesResponse(ListServiceResponse {
                            service: service.collect(),
                        })
                    }
                    Found::Nothing(code, error_message) => {
                        MessageResponse::ErrorResponse(ErrorResponse {
                            error_code: code.into(),
                            error_message,
                        })
                    }
                }
            }
        }
    };
}
serve!(v1);
serve!(v1alpha);
