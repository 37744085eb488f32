//! A change of users: one call where they are typed, and one for each 50 where they stand in a file.

use super::batch::Batch;
use super::source::Source;
use super::work::Work;
use crate::cli::client::{Exit, Failure, Output};
use crate::cli::process::end_on_signals;
use crate::client::{Answer, CallError};
use crate::domain::Targets;

/// Makes the change, and says what came of it.
///
/// # Errors
/// [`Failure`] of the only call, or of the output.
pub async fn make(
    source: &Source,
    work: &Work,
    mut output: Output,
    call: impl AsyncFn(&Targets) -> Result<Answer, CallError>,
) -> Result<Exit, Failure> {
    let users = match source {
        Source::Typed(users) => users,
        Source::File { chunks, .. } => {
            let batch = Batch::new(work, output, source.count())?;
            return batch.run(chunks, call).await;
        }
    };
    end_on_signals().map_err(Failure::Failed)?;
    let answer = call(users).await?;
    let done = work.done(&answer, users.count(), None);
    let sentence = work.sentence(users.count(), answer.changed_tags);
    let request_id = &answer.request_id;
    output.result(&format!("{sentence} (RequestId {request_id})"), &done)?;
    Ok(Exit::Done)
}
