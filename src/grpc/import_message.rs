//! The report of a chunk of an import as a message of the contract.

use super::proto::user::v1 as proto;
use super::tag_service::revision;
use crate::service::{ChunkReport, RefusedLine};

/// The message of a report.
pub fn answer(report: &ChunkReport) -> proto::ImportUsersResponse {
    let count = |count| i32::try_from(count).unwrap_or(i32::MAX);
    let (first, last) = report.lines;
    proto::ImportUsersResponse {
        request_id: report.request_id.to_string(),
        revision: report.revision.map(revision),
        first_line: number(first),
        last_line: number(last),
        created_users: count(report.created),
        updated_users: count(report.updated),
        unchanged_users: count(report.unchanged),
        refused_lines: report.refused.iter().map(refused).collect(),
        resume_line: number(report.resume_line),
    }
}

fn refused(line: &RefusedLine) -> proto::RefusedLine {
    proto::RefusedLine {
        number: number(line.number),
        resource_id: line.id.clone(),
        code: line.code.to_owned(),
        message: line.message.clone(),
    }
}

/// The number of a line, which came as one.
fn number(line: u64) -> i64 {
    i64::try_from(line).unwrap_or(i64::MAX)
}
