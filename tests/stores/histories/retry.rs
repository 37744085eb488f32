//! Requests that are sent again until they are answered.

use std::time::{Duration, Instant};

use tonic::{Code, Response, Status};

use crate::crash::load::is_answer;
use crate::support::PATIENCE;

/// Sends a request until it is answered, and counts how often it was sent again.
pub async fn send_until_answered<A, F>(again: &mut usize, send: impl Fn() -> F) -> A
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let start = Instant::now();
    loop {
        match send().await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => {
                let may_pass = [Code::Unavailable, Code::DeadlineExceeded];
                let is_broken = !is_answer(&status) || may_pass.contains(&status.code());
                assert!(is_broken && start.elapsed() < 4 * PATIENCE, "{status:?}");
                *again += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends a message by a method of a client until it is answered.
macro_rules! insist {
    ($again:expr, $client:expr, $method:ident, $message:expr) => {
        $crate::histories::retry::send_until_answered($again, || {
            let (mut client, message) = ($client.clone(), $message.clone());
            async move { client.$method(message).await }
        })
    };
}
pub(super) use insist;
