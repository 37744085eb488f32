//! One of the two services, and what it has told.

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::answer;
use super::memory::Memory;
use super::streams;
use super::words::{ACCOUNT_METADATA, ACCOUNTS};
use crate::histories::store::Home;
use crate::support::Server;
use crate::support::http::Http1;

pub const CREATE: &str = "ram.user.v1.UserService/CreateUser";
/// The methods that are streams.
pub const IMPORT: &str = "ram.user.v1.UserService/ImportUsers";
pub const WATCH: &str = "ram.tag.v1.ChangeService/WatchChanges";

/// A request: a method and a message, which has names for what a service knows.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: &'static str,
    /// The place of the account among the words.
    pub account: usize,
    pub body: Value,
}

/// A store with its service.
pub struct Side {
    pub name: &'static str,
    pub memory: Memory,
    home: Home,
    server: Server,
    /// Opened for a request: one that says nothing for long is closed.
    http: Option<Http1>,
}

impl Side {
    pub fn new(name: &'static str, home: Home) -> Self {
        Self {
            name,
            memory: Memory::default(),
            server: home.serve(&[]),
            home,
            http: None,
        }
    }

    /// Ends the service without notice, and starts it again.
    pub fn restart(&mut self) {
        self.server.kill();
        self.http = None;
        self.server = self.home.serve(&[]);
    }

    /// Sends a request. Its answer has names for what only this service knows.
    pub fn ask(&mut self, number: usize, call: &Call, newest: u64, runtime: &Runtime) -> Value {
        let account = ACCOUNTS[call.account];
        let body = self.memory.resolve(&call.body);
        let answer = match call.method {
            IMPORT => runtime.block_on(async {
                streams::import(self.server.channel().await, account, &body).await
            }),
            WATCH => runtime.block_on(async {
                streams::watch(self.server.channel().await, account, &body, newest).await
            }),
            method => self.post(method, account, &body),
        };
        if let Some(id) = made_id(call, &answer) {
            self.memory.learn_id(&format!("\u{a7}I{number}"), id);
        }
        answer::named(&mut self.memory, number, &answer)
    }

    /// Calls a method by HTTP.
    fn post(&mut self, method: &str, account: Option<&str>, body: &Value) -> Value {
        let account = account.map(|account| format!("{ACCOUNT_METADATA}: {account}\r\n"));
        let headers = format!(
            "Content-Type: application/json\r\n{}",
            account.unwrap_or_default()
        );
        let path = format!("/{method}");
        let address = self.server.address;
        let http = self.http.get_or_insert_with(|| Http1::open(address));
        let answer = http.ask("POST", &path, &headers, &body.to_string());
        if answer.headers.contains("connection: close") {
            self.http = None;
        }
        let text: Value = serde_json::from_str(&answer.body).unwrap_or(answer.body.into());
        json!({ "http": answer.code, "body": text })
    }

    /// All users that are there, by the export of the store.
    pub fn export(&mut self) -> Vec<Value> {
        let exported = self.home.export();
        let lines = exported.lines();
        let users = lines.map(|line| serde_json::from_str(line).unwrap());
        let mut users: Vec<Value> = users.map(|user| self.memory.name(&user)).collect();
        users
            .sort_by_key(|user| ["account_id", "resource_id"].map(|field| user[field].to_string()));
        users
    }
}

/// Whether the service makes the id of the user that a request creates.
pub fn is_id_made(call: &Call) -> bool {
    let id = call.body.pointer("/user/resourceId");
    call.method == CREATE && id.is_none_or(|id| id == "")
}

/// The id that the service has made for a user.
fn made_id<'a>(call: &Call, answer: &'a Value) -> Option<&'a str> {
    let id = answer.pointer("/body/user/resourceId");
    id.and_then(Value::as_str).filter(|_| is_id_made(call))
}
