//! The answer to a call that was made.

use http::Response;
use serde_json::{Value, json};
use tonic::body::Body;

use super::answer::{self, Format, Problem};
use super::call::Called;
use super::read_back::{check_lost, decoded, lost_in_tag};
use super::stop::Stop;
use super::users::{self, in_cloud_words};
use crate::domain::Operation;
use crate::grpc::proto::ListTagResourcesResponse;

/// Makes the answer in the cloud's form from the result of a call.
pub fn reply(format: Format, operation: Operation, host: &str, called: &Called) -> Response<Body> {
    let request_id = called.request_id.as_str();
    let content = match &called.result {
        Err(failure) => {
            let (code, message) = in_cloud_words(operation, &failure.code, &failure.message);
            let problem = Problem {
                status: answer::http_status(failure.status),
                request_id,
                host,
                code: &code,
                message: &message,
                retry_after: failure.retry_after,
            };
            return answer::problem(format, &problem);
        }
        Ok(message) => content(format, operation, message),
    };
    match content {
        Ok(mut content) => {
            content["RequestId"] = request_id.into();
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

/// What an answer has beside its RequestId.
fn content(format: Format, operation: Operation, message: &[u8]) -> Result<Value, Stop> {
    match operation {
        Operation::UntagResources | Operation::TagResources => Ok(json!({})),
        Operation::ListTagResources => {
            let page: ListTagResourcesResponse = decoded(message).ok_or_else(Stop::internal)?;
            let lost = page.tag_resources.iter().find_map(|tag| {
                lost_in_tag(format, &tag.resource_id, &tag.tag_key, &tag.tag_value)
            });
            check_lost(lost)?;
            Ok(page_of_tags(&page))
        }
        _ => users::content(format, operation, message),
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
        "IsTruncated": !page.next_token.is_empty(),
        "TagResources": {"TagResource": tags},
    });
    if !page.next_token.is_empty() {
        content["NextToken"] = page.next_token.as_str().into();
    }
    content
}
