//! The answer to a call that was made.

use http::{Response, StatusCode};
use prost::Message as _;
use serde_json::{Value, json};
use tonic::body::Body;

use super::answer::{self, Format, Problem};
use super::call::Called;
use super::stop::Stop;
use crate::domain::{Action, Error};
use crate::grpc::proto::ListTagResourcesResponse;

/// Says what came of a call.
pub fn reply(format: Format, action: Action, host: &str, called: &Called) -> Response<Body> {
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
        Ok(message) => content(action, request_id, message),
    };
    match content {
        Ok(content) => {
            let root = format!("{}Response", action.operation());
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

fn content(action: Action, request_id: &str, message: &[u8]) -> Result<Value, Stop> {
    match action {
        Action::UntagResources | Action::TagResources => Ok(json!({"RequestId": request_id})),
        Action::ListTagResources => {
            let page = ListTagResourcesResponse::decode(message).map_err(|error| {
                // It is our own message.
                tracing::error!(%error, request_id, "the answer can't be read back");
                Stop::of(&Error::Internal, StatusCode::INTERNAL_SERVER_ERROR)
            })?;
            Ok(page_of_tags(&page))
        }
    }
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
