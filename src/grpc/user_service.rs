//! The methods of `ram.user.v1.UserService`: parse, carry out, answer.

use std::sync::Arc;
use std::time::SystemTime;

use tonic::{Request, Response, Status, Streaming};

use super::import;
use super::intake::{Begun, Intake, failed, failed_change};
use super::parse::Repeatable;
use super::progress::{Asked, Effect};
use super::proto::user::v1 as user_proto;
use super::tag_service::revision;
use super::{page_token, parse, stream_host, user_message};
use crate::domain::{AccountId, Action, Changed, Fault, Timestamp, UserCommand, UsersChanged};
use crate::service::UserService;
use crate::store::Store;

/// The user service as gRPC calls it.
pub struct GrpcUserService<S> {
    service: UserService<S>,
    intake: Intake,
}

/// An answer about the one user that a request has changed.
struct Answer {
    request_id: String,
    revision: Option<i64>,
    user: Option<user_proto::User>,
}

/// A parser of requests that need the present moment.
type Parser<T, C> = fn(T, Result<AccountId, Fault>, Timestamp) -> Result<C, Vec<Fault>>;

impl<S: Store> GrpcUserService<S> {
    pub fn new(service: UserService<S>, intake: Intake) -> Self {
        Self { service, intake }
    }

    /// Lets a request in and parses it.
    fn begin<T, C>(&self, request: Request<T>, parse: Parser<T, C>) -> Result<Begun<C>, Status> {
        let now = Timestamp::from(SystemTime::now());
        let parse = |message, account| parse(message, account, now);
        self.intake.begin(request, parse)
    }

    /// Carries out the change of one user that a request asks for.
    async fn change(
        &self,
        action: Action,
        begun: Begun<Repeatable<UserCommand>>,
    ) -> Result<Answer, Status> {
        let Begun {
            command: Repeatable { command, repeat },
            call,
            progress,
            admitted: _admitted,
        } = begun;
        progress.ask(Asked {
            account: command.account().clone(),
            resources: command.changes().len(),
            tags: 0,
            effect: Effect::Changes,
        });
        let command = Arc::new(command);
        let changed = self.service.change(&call, action, command, repeat.clone());
        let failed = |error| failed_change(&call, &progress, &error, repeat.as_ref());
        let (changed, values) = changed.await.map_err(failed)?;
        let request_id = changed.request_id.unwrap_or(call.request_id);
        let user = changed.users.first();
        let answer = Answer {
            request_id: request_id.to_string(),
            revision: changed.revision.map(revision),
            user: user.map(|user| user_message::alone(user, values)),
        };
        progress.answer(counted(&changed));
        Ok(answer)
    }
}

/// What the log says of a change of users.
fn counted(changed: &UsersChanged) -> Changed {
    Changed {
        changed_resources: Some(changed.changed),
        revision: changed.revision,
        request_id: changed.request_id,
        is_replay: changed.is_replay,
        ..Changed::count(changed.users.len().max(changed.changed), 0)
    }
}

#[tonic::async_trait]
impl<S: Store> user_proto::user_service_server::UserService for GrpcUserService<S> {
    async fn get_user(
        &self,
        request: Request<user_proto::GetUserRequest>,
    ) -> Result<Response<user_proto::GetUserResponse>, Status> {
        let Begun {
            command: query,
            call,
            progress,
            admitted: _admitted,
        } = self.begin(request, parse::get_user)?;
        progress.ask(Asked {
            resources: 1,
            ..Asked::reading(&query.account)
        });
        let found = self.service.get(&call, Arc::new(query)).await;
        let (user, values) = found.map_err(|error| failed(&call, &progress, &error))?;
        progress.answer(Changed::count(1, 0));
        Ok(Response::new(user_proto::GetUserResponse {
            request_id: call.request_id.to_string(),
            user: Some(user_message::alone(&user, values)),
        }))
    }

    async fn list_users(
        &self,
        request: Request<user_proto::ListUsersRequest>,
    ) -> Result<Response<user_proto::ListUsersResponse>, Status> {
        let Begun {
            command: query,
            call,
            progress,
            admitted: _admitted,
        } = self.begin(request, parse::list_users)?;
        let query = Arc::new(query);
        progress.ask(Asked::reading(&query.account));
        let found = self.service.list(&call, Arc::clone(&query)).await;
        let (page, values) = found.map_err(|error| failed(&call, &progress, &error))?;
        progress.answer(Changed::count(page.users.len(), 0));
        let fingerprint = page_token::users_fingerprint(&query);
        let next = page
            .next
            .map(|next| page_token::write_users(&next, &fingerprint));
        let users = page.users.iter();
        Ok(Response::new(user_proto::ListUsersResponse {
            request_id: call.request_id.to_string(),
            next_token: next.unwrap_or_default(),
            users: users
                .map(|user| user_message::alone(user, values))
                .collect(),
        }))
    }

    async fn create_user(
        &self,
        request: Request<user_proto::CreateUserRequest>,
    ) -> Result<Response<user_proto::CreateUserResponse>, Status> {
        let begun = self.begin(request, parse::create_user)?;
        let answer = self.change(Action::CreateUser, begun).await?;
        Ok(Response::new(user_proto::CreateUserResponse {
            request_id: answer.request_id,
            revision: answer.revision,
            user: answer.user,
        }))
    }

    async fn update_user(
        &self,
        request: Request<user_proto::UpdateUserRequest>,
    ) -> Result<Response<user_proto::UpdateUserResponse>, Status> {
        let begun = self.begin(request, parse::update_user)?;
        let answer = self.change(Action::UpdateUser, begun).await?;
        Ok(Response::new(user_proto::UpdateUserResponse {
            request_id: answer.request_id,
            revision: answer.revision,
            user: answer.user,
        }))
    }

    async fn delete_user(
        &self,
        request: Request<user_proto::DeleteUserRequest>,
    ) -> Result<Response<user_proto::DeleteUserResponse>, Status> {
        let begun = self.begin(request, parse::delete_user)?;
        let answer = self.change(Action::DeleteUser, begun).await?;
        Ok(Response::new(user_proto::DeleteUserResponse {
            request_id: answer.request_id,
            revision: answer.revision,
            user: answer.user,
        }))
    }

    async fn undelete_user(
        &self,
        request: Request<user_proto::UndeleteUserRequest>,
    ) -> Result<Response<user_proto::UndeleteUserResponse>, Status> {
        let begun = self.begin(request, parse::undelete_user)?;
        let answer = self.change(Action::UndeleteUser, begun).await?;
        Ok(Response::new(user_proto::UndeleteUserResponse {
            request_id: answer.request_id,
            revision: answer.revision,
            user: answer.user,
        }))
    }

    type ImportUsersStream = import::Answers;

    async fn import_users(
        &self,
        request: Request<Streaming<user_proto::ImportUsersRequest>>,
    ) -> Result<Response<Self::ImportUsersStream>, Status> {
        let host = stream_host::of(&request)?;
        let (metadata, extensions, mut messages) = request.into_parts();
        // An import without any message has none with settings.
        let first = messages.message().await?.unwrap_or_default();
        let first = Request::from_parts(metadata, extensions, first);
        // The stream counts as a request until it has begun, and then each of its chunks does.
        let Begun {
            command: asked,
            call,
            progress,
            admitted: _admitted,
        } = self.intake.begin(first, parse::import_settings)?;
        progress.ask(Asked::reading(&asked.settings.account));
        progress.answer(Changed::default());
        let import = self.service.import(asked.settings.clone(), host.hold());
        let way_in = (self.intake.clone(), host);
        let answers = import::answers(import, asked, call, way_in, messages);
        Ok(Response::new(answers))
    }
}
