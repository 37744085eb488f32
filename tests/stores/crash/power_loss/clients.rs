//! The commands of workers as calls of the service.

use std::collections::BTreeMap;

use prost_types::FieldMask;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use untag::domain::{ResourceId, TagSelection, Targets, User as Resident, UserChange};
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::user::v1::user_service_client::UserServiceClient;
use untag::grpc::proto::user::v1::{
    CreateUserRequest, DeleteUserRequest, ListUsersRequest, UndeleteUserRequest, UpdateUserRequest,
    User,
};
use untag::grpc::proto::{
    ResourceIds, Tag, TagResourcesRequest, UntagResourcesRequest, tag_resources_request,
    untag_resources_request,
};

use crate::crash::load::one_connection;
use crate::crash::population::{Command, Outcome, Population, worker_of};
use crate::crash::users::WORKERS;
use crate::support::Server;

/// The clients of a service, over one connection.
#[derive(Debug, Clone)]
pub struct Clients {
    tags: TagServiceClient<Channel>,
    users: UserServiceClient<Channel>,
}

/// An answer of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    /// The RequestId; empty where it is an error.
    pub request_id: String,
}

impl Clients {
    pub async fn of(server: &Server) -> Self {
        let channel = one_connection(server.address).await;
        Self {
            tags: TagServiceClient::new(channel.clone()),
            users: UserServiceClient::new(channel),
        }
    }

    /// Sends a command, with this client token where it is not empty. `Err` where it is not known what became of it.
    pub async fn send(&mut self, command: &Command, token: &str) -> Result<Answer, Status> {
        let request_id = match command {
            Command::Untag(command) => {
                let TagSelection::Keys(keys) = &command.selection else {
                    panic!("keys are named");
                };
                let request = UntagResourcesRequest {
                    resources: Some(untag_resources_request::Resources::ResourceIds(ids(
                        &command.targets,
                    ))),
                    tag_keys: keys.iter().map(ToString::to_string).collect(),
                    client_token: token.to_owned(),
                    ..UntagResourcesRequest::default()
                };
                let answer = self.tags.untag_resources(request).await;
                answer.map(|answer| answer.into_inner().request_id)
            }
            Command::Tag(command) => {
                let tags = command.tags.iter().map(|(key, value)| Tag {
                    key: key.to_string(),
                    value: value.as_str().to_owned(),
                });
                let request = TagResourcesRequest {
                    resources: Some(tag_resources_request::Resources::ResourceIds(ids(
                        &command.targets
                    ))),
                    tags: tags.collect(),
                    client_token: token.to_owned(),
                    ..TagResourcesRequest::default()
                };
                let answer = self.tags.tag_resources(request).await;
                answer.map(|answer| answer.into_inner().request_id)
            }
            Command::Users(command) => {
                let [change] = command.changes() else {
                    panic!("a request changes one user");
                };
                self.change_user(change, token).await
            }
        };
        outcome(request_id)
    }

    async fn change_user(&mut self, change: &UserChange, token: &str) -> Result<String, Status> {
        let client_token = token.to_owned();
        let resource_id = change.id().to_string();
        match change {
            UserChange::Create(new) => {
                let tags = new.tags().iter();
                let user = User {
                    resource_id,
                    principal_name: new.principal_name.to_string(),
                    tags: tags
                        .map(|(key, value)| (key.to_string(), value.as_str().to_owned()))
                        .collect(),
                    ..User::default()
                };
                let request = CreateUserRequest {
                    user: Some(user),
                    client_token,
                };
                let answer = self.users.create_user(request).await;
                answer.map(|answer| answer.into_inner().request_id)
            }
            UserChange::Update(update) => {
                let name = update.principal_name.as_ref().expect("it is renamed");
                let user = User {
                    resource_id,
                    principal_name: name.to_string(),
                    ..User::default()
                };
                let request = UpdateUserRequest {
                    user: Some(user),
                    update_mask: Some(FieldMask {
                        paths: vec!["principal_name".to_owned()],
                    }),
                    client_token,
                };
                let answer = self.users.update_user(request).await;
                answer.map(|answer| answer.into_inner().request_id)
            }
            UserChange::Delete { .. } => {
                let request = DeleteUserRequest {
                    resource_id,
                    client_token,
                };
                let answer = self.users.delete_user(request).await;
                answer.map(|answer| answer.into_inner().request_id)
            }
            UserChange::Restore { new_name, .. } => {
                let name = new_name.as_ref();
                let request = UndeleteUserRequest {
                    resource_id,
                    new_principal_name: name.map(ToString::to_string).unwrap_or_default(),
                    client_token,
                };
                let answer = self.users.undelete_user(request).await;
                answer.map(|answer| answer.into_inner().request_id)
            }
        }
    }

    /// All users that the service has, the deleted ones too, by id.
    pub async fn listed(&mut self) -> Users {
        let mut request = ListUsersRequest {
            show_deleted: true,
            ..ListUsersRequest::default()
        };
        let mut listed = BTreeMap::new();
        loop {
            let page = self.users.list_users(request.clone()).await;
            let page = page.unwrap().into_inner();
            for user in page.users {
                let is_deleted = user.delete_time.is_some();
                let seen = Listed {
                    principal_name: user.principal_name,
                    tags: user.tags.into_iter().collect(),
                    is_deleted,
                };
                listed.insert(user.resource_id, seen);
            }
            if page.next_token.is_empty() {
                return listed;
            }
            request.next_token = page.next_token;
        }
    }
}

/// Users as a list shows them, by id.
pub type Users = BTreeMap<String, Listed>;

/// A user as a list shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    pub principal_name: String,
    pub tags: BTreeMap<String, String>,
    pub is_deleted: bool,
}

/// Users as a list shows them.
pub fn as_listed(population: &Population) -> Users {
    let listed = |user: &Resident| {
        let tags = user.resource.tags().iter();
        let listed = Listed {
            principal_name: user.resource.principal_name.to_string(),
            tags: tags
                .map(|(key, value)| (key.to_string(), value.as_str().to_owned()))
                .collect(),
            is_deleted: user.delete_time.is_some(),
        };
        (user.resource.id.to_string(), listed)
    };
    population.users().map(listed).collect()
}

/// The users of each worker in a list.
pub fn by_worker(listed: Users) -> Vec<Users> {
    let mut workers: Vec<_> = (0..WORKERS).map(|_| Users::new()).collect();
    for (id, user) in listed {
        workers[worker_of(&ResourceId::parse(id.as_str()).unwrap())].insert(id, user);
    }
    workers
}

fn ids(targets: &Targets) -> ResourceIds {
    let Targets::Ids(ids) = targets else {
        panic!("users are named by their ids");
    };
    ResourceIds {
        values: ids.iter().map(ToString::to_string).collect(),
    }
}

fn outcome(answer: Result<String, Status>) -> Result<Answer, Status> {
    let status = match answer {
        Ok(request_id) => {
            return Ok(Answer {
                outcome: Outcome::Done,
                request_id,
            });
        }
        Err(status) => status,
    };
    let details = status.get_error_details();
    let code = details
        .error_info()
        .and_then(|info| info.metadata.get("code"));
    let outcome = match (status.code(), code.map(String::as_str)) {
        (Code::NotFound, _) => Outcome::Missing,
        (_, Some("EntityAlreadyExists.User")) => Outcome::Exists,
        (_, Some("EntityAlreadyExists.User.PrincipalName")) => Outcome::NameTaken,
        _ => return Err(status),
    };
    Ok(Answer {
        outcome,
        request_id: String::new(),
    })
}
