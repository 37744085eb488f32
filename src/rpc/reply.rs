//! The answer to a call that was made.

use http::{Response, StatusCode};
use prost::Message as _;
use serde_json::{Value, json};
use tonic::body::Body;

use super::answer::{self, Format, Problem, unwritable};
use super::call::Called;
use super::operation::Operation;
use super::parameters::malformed;
use super::stop::Stop;
use crate::domain::Error;
use crate::grpc::proto::{ListTagResourcesResponse, TagResource};

/// Makes the answer in the cloud's form from the result of a call.
pub fn reply(format: Format, operation: Operation, host: &str, called: &Called) -> Response<Body> {
    let request_id = called.request_id.as_str();
    let content = match &called.result {
        Err(failure) => {
            let problem = Problem {
                status: answer::http_status(failure.status),
                request_id,
                host,
                code: &failure.code,
                message: &failure.message,
                retry_after: failure.retry_after,
            };
            return answer::problem(format, &problem);
        }
        Ok(message) => content(format, operation, request_id, message),
    };
    match content {
        Ok(content) => {
            let root = format!("{}Response", operation.name());
            answer::success(format, &root, request_id, &content)
        }
        Err(stop) => {
            let problem = Problem {
                status: stop.status,
                request_id,
                host,
                code: &stop.code,
                message: &stop.message,
                retry_after: stop.retry_after,
            };
            answer::problem(format, &problem)
        }
    }
}

fn content(
    format: Format,
    operation: Operation,
    request_id: &str,
    message: &[u8],
) -> Result<Value, Stop> {
    match operation {
        Operation::UntagResources | Operation::TagResources => Ok(json!({"RequestId": request_id})),
        Operation::ListTagResources => {
            let page = ListTagResourcesResponse::decode(message).map_err(|error| {
                // It is our own message.
                tracing::error!(%error, request_id, "the answer can't be read back");
                Stop::of(&Error::Internal, StatusCode::INTERNAL_SERVER_ERROR)
            })?;
            match page.tag_resources.iter().find_map(|tag| lost(format, tag)) {
                None => Ok(page_of_tags(&page)),
                Some(lost) => {
                    let problem = format!(
                        "the answer has {lost}, which XML has no form for; give Format=JSON"
                    );
                    Err(Stop::fault(malformed("Format", &problem)))
                }
            }
        }
    }
}

/// The part of a tag that could not be read back from an answer in this format.
fn lost(format: Format, tag: &TagResource) -> Option<String> {
    let TagResource {
        resource_id,
        tag_key,
        tag_value,
        ..
    } = tag;
    let code = |character| format!("U+{:04X}", u32::from(character));
    if let Some(character) = unwritable(format, tag_key) {
        let code = code(character);
        return Some(format!("{code} in the key of a tag of user {resource_id}"));
    }
    let code = code(unwritable(format, tag_value)?);
    Some(format!(
        "{code} in the value of the tag {tag_key} of user {resource_id}"
    ))
}

fn page_of_tags(page: &ListTagResourcesResponse) -> Value {
    let tags: Vec<Value> = page
        .tag_resources
        .iter()
        .map(|tag| {
            json!({
                "ResourceType": tag.resource_type,
                "ResourceId": tag.resource_id,
                "TagKey": tag.tag_key,
                "TagValue": tag.tag_value,
            })
        })
        .collect();
    let mut content = json!({
        "RequestId": page.request_id,
        "IsTruncated": !page.next_token.is_empty(),
        "TagResources": {"TagResource": tags},
    });
    if !page.next_token.is_empty() {
        content["NextToken"] = page.next_token.as_str().into();
    }
    content
}
