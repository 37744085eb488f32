//! Server reflection: what `grpcurl describe` shows.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_reflect::{DescriptorPool, ServiceDescriptor, Value};
use prost_types::FileDescriptorProto;
use tonic::transport::Channel;

use super::users::server;
use crate::support::Server;

/// Asks reflection in one of its versions, whose messages are alike.
macro_rules! reflection {
    ($version:ident) => {
        mod $version {
            use tonic::transport::Channel;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version::{ExtensionRequest, ServerReflectionRequest};

            async fn ask(channel: &Channel, request: MessageRequest) -> MessageResponse {
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(request),
                };
                let mut client = ServerReflectionClient::new(channel.clone());
                let answers = client
                    .server_reflection_info(tokio_stream::once(request))
                    .await;
                let answer = answers
                    .unwrap()
                    .into_inner()
                    .message()
                    .await
                    .unwrap()
                    .unwrap();
                answer.message_response.unwrap()
            }

            /// The codes of the errors that requests on one stream are answered with; 0 for other answers.
            pub async fn errors(channel: &Channel) -> Vec<i32> {
                let extension = |containing_type: &str, extension_number| {
                    MessageRequest::FileContainingExtension(ExtensionRequest {
                        containing_type: containing_type.to_owned(),
                        extension_number,
                    })
                };
                let requests = [
                    MessageRequest::FileContainingSymbol("no.Such".to_owned()),
                    MessageRequest::FileByFilename("no.proto".to_owned()),
                    extension("google.protobuf.FieldOptions", 7),
                    extension("no.Such", 7),
                    MessageRequest::AllExtensionNumbersOfType("no.Such".to_owned()),
                    // buf.validate.field
                    extension("google.protobuf.FieldOptions", 1159),
                    MessageRequest::AllExtensionNumbersOfType(
                        "ram.tag.v1.UntagResourcesRequest".to_owned(),
                    ),
                    MessageRequest::ListServices(String::new()),
                ];
                let requests = requests.map(|request| ServerReflectionRequest {
                    host: "a".to_owned(),
                    message_request: Some(request),
                });
                let mut client = ServerReflectionClient::new(channel.clone());
                let asked = tokio_stream::iter(requests.clone());
                let answers = client.server_reflection_info(asked).await.unwrap();
                let mut answers = answers.into_inner();
                let mut codes = Vec::new();
                for request in requests {
                    let answer = answers.message().await.unwrap().unwrap();
                    assert_eq!(answer.original_request, Some(request));
                    codes.push(match answer.message_response.unwrap() {
                        MessageResponse::ErrorResponse(error) => error.error_code,
                        _ => 0,
                    });
                }
                assert!(answers.message().await.unwrap().is_none());
                codes
            }

            pub async fn services(channel: &Channel) -> Vec<String> {
                match ask(channel, MessageRequest::ListServices(String::new())).await {
                    MessageResponse::ListServicesResponse(list) => list
                        .service
                        .into_iter()
                        .map(|service| service.name)
                        .collect(),
                    other => panic!("{other:?}"),
                }
            }

            pub async fn file_with(channel: &Channel, symbol: &str) -> Vec<Vec<u8>> {
                files(
                    ask(
                        channel,
                        MessageRequest::FileContainingSymbol(symbol.to_owned()),
                    )
                    .await,
                )
            }

            pub async fn file_named(channel: &Channel, name: &str) -> Vec<Vec<u8>> {
                files(ask(channel, MessageRequest::FileByFilename(name.to_owned())).await)
            }

            fn files(answer: MessageResponse) -> Vec<Vec<u8>> {
                match answer {
                    MessageResponse::FileDescriptorResponse(files) => files.file_descriptor_proto,
                    other => panic!("{other:?}"),
                }
            }
        }
    };
}
reflection!(v1);
reflection!(v1alpha);

/// The file that holds a symbol and all that it imports, as a client collects them.
async fn collect(channel: &Channel, symbol: &str) -> DescriptorPool {
    let mut files: BTreeMap<String, (FileDescriptorProto, Vec<u8>)> = BTreeMap::new();
    let mut found = v1::file_with(channel, symbol).await;
    while let Some(bytes) = found.pop() {
        let file = FileDescriptorProto::decode(bytes.as_slice()).unwrap();
        for import in &file.dependency {
            if !files.contains_key(import) {
                found.extend(v1::file_named(channel, import).await);
            }
        }
        files.insert(file.name().to_owned(), (file, bytes));
    }
    let mut pool = DescriptorPool::new();
    let mut waiting: Vec<_> = files.into_values().collect();
    // A file goes in when its imports are in. As bytes: decoded by prost it would have lost its custom options.
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|(file, bytes)| {
            let ready = file
                .dependency
                .iter()
                .all(|import| pool.get_file_by_name(import).is_some());
            if ready {
                pool.decode_file_descriptor_proto(bytes.as_slice()).unwrap();
            }
            !ready
        });
        assert!(waiting.len() < before, "an import is not served");
    }
    pool
}

async fn tag_service(server: &Server) -> ServiceDescriptor {
    let pool = collect(&server.channel().await, "ram.tag.v1.TagService").await;
    pool.get_service_by_name("ram.tag.v1.TagService").unwrap()
}

#[tokio::test]
async fn both_versions_list_the_tag_service_and_health() {
    let (server, _home) = server(&[]);
    let channel = server.channel().await;
    for services in [
        v1::services(&channel).await,
        v1alpha::services(&channel).await,
    ] {
        for service in ["ram.tag.v1.TagService", "grpc.health.v1.Health"] {
            assert!(
                services.iter().any(|name| name == service),
                "{service} in {services:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_known_is_an_error_on_the_stream_which_goes_on() {
    let (server, _home) = server(&[]);
    let channel = server.channel().await;
    let wanted = [5, 5, 5, 5, 5, 0, 0, 0];
    assert_eq!(v1::errors(&channel).await, wanted);
    assert_eq!(v1alpha::errors(&channel).await, wanted);
}

#[tokio::test]
async fn both_versions_serve_the_same_contract() {
    let (server, _home) = server(&[]);
    let channel = server.channel().await;
    let rules = "buf/validate/validate.proto";
    let file = v1::file_named(&channel, rules).await;
    assert_eq!(file, v1alpha::file_named(&channel, rules).await);
    for symbol in [
        "ram.tag.v1.TagService",
        "ram.tag.v1.TagService.UntagResources",
        "ram.tag.v1.UntagResourcesRequest",
        "ram.tag.v1.UntagResourcesRequest.tag_keys",
    ] {
        let file = v1::file_with(&channel, symbol).await;
        assert_eq!(file, v1alpha::file_with(&channel, symbol).await, "{symbol}");
        assert!(!file.is_empty());
    }
}

#[tokio::test]
async fn the_details_of_errors_can_be_described() {
    let (server, _home) = server(&[]);
    let channel = server.channel().await;
    for message in [
        "ErrorInfo",
        "RequestInfo",
        "BadRequest",
        "ResourceInfo",
        "QuotaFailure",
        "RetryInfo",
    ] {
        let name = format!("google.rpc.{message}");
        let pool = collect(&channel, &name).await;
        assert!(pool.get_message_by_name(&name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn the_methods_and_their_comments_are_served() {
    let (server, _home) = server(&[]);
    let service = tag_service(&server).await;
    let methods: Vec<String> = service
        .methods()
        .map(|method| method.name().to_owned())
        .collect();
    assert_eq!(
        methods,
        [
            "UntagResources",
            "TagResources",
            "ListTagResources",
            "ListTagKeys",
            "ListTagValues"
        ]
    );

    let file = service.parent_file();
    let source = file
        .file_descriptor_proto()
        .source_code_info
        .as_ref()
        .expect("comments are kept");
    let comment = |path: &[i32]| {
        let location = source
            .location
            .iter()
            .find(|location| location.path == path);
        location
            .and_then(|location| location.leading_comments.clone())
            .unwrap_or_default()
    };
    assert!(comment(service.path()).contains("Reads, sets and removes the tags of RAM users"));
    for method in service.methods() {
        assert!(!comment(method.path()).is_empty(), "{}", method.full_name());
    }
    for message in file.messages() {
        assert!(
            !comment(message.path()).is_empty(),
            "{}",
            message.full_name()
        );
        for field in message.fields() {
            assert!(!comment(field.path()).is_empty(), "{}", field.full_name());
        }
    }
}

#[tokio::test]
async fn the_buf_validate_rules_are_served_with_their_values() {
    let (server, _home) = server(&[]);
    let service = tag_service(&server).await;
    let pool = service.parent_pool();
    let rules_of_field = pool
        .get_extension_by_name("buf.validate.field")
        .expect("the rules' own file is served");
    let request = pool
        .get_message_by_name("ram.tag.v1.UntagResourcesRequest")
        .unwrap();
    let options = request.get_field_by_name("tag_keys").unwrap().options();
    let Value::Message(rules) = options.get_extension(&rules_of_field).into_owned() else {
        panic!("rules are a message");
    };
    let repeated = rules.get_field_by_name("repeated").unwrap();
    let repeated = repeated.as_message().unwrap();
    assert_eq!(
        repeated.get_field_by_name("max_items").unwrap().as_u64(),
        Some(20)
    );
    assert_eq!(
        repeated.get_field_by_name("unique").unwrap().as_bool(),
        Some(true)
    );

    let rules_of_message = pool.get_extension_by_name("buf.validate.message").unwrap();
    assert!(request.options().has_extension(&rules_of_message));
}
