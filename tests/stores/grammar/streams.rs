//! The methods that are streams, by gRPC: imports, and watches up to where nothing has happened any more.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;
use untag::grpc::proto::change_service_client::ChangeServiceClient;
use untag::grpc::proto::user::v1::ImportUsersRequest;
use untag::grpc::proto::user::v1::import_users_request::Part;
use untag::grpc::proto::user::v1::user_service_client::UserServiceClient;
use untag::grpc::proto::watch_changes_response::Event;
use untag::grpc::proto::{WatchChangesRequest, WatchChangesResponse};

use super::words::ACCOUNT_METADATA;
use crate::support::PATIENCE;

const REQUEST: &str = "ram.user.v1.ImportUsersRequest";
const ANSWER: &str = "ram.user.v1.ImportUsersResponse";

static CONTRACT: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(untag::grpc::DESCRIPTORS).unwrap());

/// The message of the contract that a text in JSON is, or why it is none.
fn message<T: Message + Default>(name: &str, text: &Value) -> Result<T, String> {
    let descriptor = CONTRACT.get_message_by_name(name).expect("a message");
    let message = DynamicMessage::deserialize(descriptor, text);
    let message = message.map_err(|error| error.to_string())?;
    message.transcode_to().map_err(|error| error.to_string())
}

fn text<T: Message>(name: &str, message: &T) -> Value {
    let descriptor = CONTRACT.get_message_by_name(name).expect("a message");
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).unwrap();
    serde_json::to_value(dynamic).unwrap()
}

fn request<T>(account: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(account) = account {
        let metadata = request.metadata_mut();
        metadata.insert(ACCOUNT_METADATA, account.parse().unwrap());
    }
    request
}

/// An error, as JSON.
fn error(status: &Status) -> Value {
    let details = status.get_error_details();
    let info = details.error_info().map(|info| info.metadata.get("code"));
    let faults = details.bad_request().map(|bad| &bad.field_violations);
    json!({
        "code": format!("{:?}", status.code()),
        "message": status.message(),
        "info": info,
        "faults": faults.map(|faults| format!("{faults:?}")),
        "requestId": details.request_info().map(|info| &info.request_id),
    })
}

/// Sends the messages of an import, each chunk when the one before is answered: otherwise they overtake each other. The answer is what
/// comes up to its end.
pub async fn import(channel: Channel, account: Option<&str>, messages: &Value) -> Value {
    let messages = messages.as_array().into_iter().flatten();
    let messages: Result<Vec<_>, _> = messages.map(|one| message(REQUEST, one)).collect();
    let messages = match messages {
        Ok(messages) => messages,
        Err(error) => return json!({ "not sent": error }),
    };
    let mut all = Vec::new();
    let end = match import_all(channel, account, messages, &mut all).await {
        Ok(()) => json!("OK"),
        Err(status) => error(&status),
    };
    json!({ "answers": all, "end": end })
}

async fn import_all(
    channel: Channel,
    account: Option<&str>,
    messages: Vec<ImportUsersRequest>,
    all: &mut Vec<Value>,
) -> Result<(), Status> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (mut sender, mut messages) = (Some(sender), messages.into_iter());
    let mut is_due = post(&mut sender, messages.next());
    let mut client = UserServiceClient::new(channel);
    let receiver = UnboundedReceiverStream::new(receiver);
    let answers = client.import_users(request(account, receiver)).await?;
    let mut answers = answers.into_inner();
    while sender.is_some() {
        if is_due {
            let Some(answer) = answers.message().await? else {
                return Ok(());
            };
            all.push(text(ANSWER, &answer));
        }
        is_due = post(&mut sender, messages.next());
    }
    while let Some(answer) = answers.message().await? {
        all.push(text(ANSWER, &answer));
    }
    Ok(())
}

/// Sends the next message, or ends the stream. Returns whether an answer is due: where the stream has ended, it says so.
fn post(
    sender: &mut Option<UnboundedSender<ImportUsersRequest>>,
    message: Option<ImportUsersRequest>,
) -> bool {
    let part = message.as_ref().and_then(|message| message.part.as_ref());
    let is_chunk = matches!(part, Some(Part::Chunk(_)));
    match (&sender, message) {
        (Some(open), Some(message)) => drop(open.send(message)),
        _ => *sender = None,
    }
    is_chunk
}

/// Follows the changes of an account up to a checkpoint behind this revision.
pub async fn watch(channel: Channel, account: Option<&str>, start: &Value, newest: u64) -> Value {
    let start: WatchChangesRequest = match message("ram.tag.v1.WatchChangesRequest", start) {
        Ok(start) => start,
        Err(error) => return json!({ "not sent": error }),
    };
    let mut client = ChangeServiceClient::new(channel);
    let opened = client.watch_changes(request(account, start)).await;
    let told = match opened {
        Ok(answers) => tokio::time::timeout(PATIENCE, follow(answers.into_inner(), newest)).await,
        Err(status) => return error(&status),
    };
    let late = |_| {
        Err(Status::new(
            Code::DeadlineExceeded,
            "no checkpoint has come",
        ))
    };
    match told.unwrap_or_else(late) {
        Ok(told) => told,
        Err(status) => error(&status),
    }
}

async fn follow(
    mut messages: Streaming<WatchChangesResponse>,
    newest: u64,
) -> Result<Value, Status> {
    let mut told = Vec::new();
    while let Some(message) = messages.message().await? {
        let revision = message.position.as_ref().map(|position| position.revision);
        if matches!(message.event, Some(Event::Checkpoint(_))) {
            if revision.is_some_and(|revision| revision.unsigned_abs() >= newest) {
                told.push(text("ram.tag.v1.WatchChangesResponse", &message));
                return Ok(json!({ "messages": told }));
            }
            continue;
        }
        told.push(text("ram.tag.v1.WatchChangesResponse", &message));
    }
    Err(Status::new(Code::Unknown, "the stream has ended by itself"))
}
