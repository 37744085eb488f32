//! The parser of an import: its settings, and chunks of lines.

use super::described_user::{Described, require_id, require_name};
use super::faults::Faults;
use super::repeat::{client_token, of_chunk};
use crate::domain::{
    AccountId, ClientToken, Error, Fault, FaultCode, ImportMode, NewUser, Repeat, limits,
};
use crate::grpc::proto::user::v1::import_users_request::Part;
use crate::grpc::proto::user::v1::{self as user_proto, ImportLine as Line};
use crate::service::{ImportChunk, ImportLine, ImportSettings};

/// What an import asks for, and how its chunks are known again.
#[derive(Debug)]
pub struct ImportRequest {
    /// The settings.
    pub settings: ImportSettings,
    /// The caller's token, of which each chunk's is made.
    pub token: Option<ClientToken>,
}

/// Parses the first message of `ImportUsers`.
///
/// # Errors
/// Every fault of the message, at least one.
pub fn import_settings(
    message: user_proto::ImportUsersRequest,
    account: Result<AccountId, Fault>,
) -> Result<ImportRequest, Vec<Fault>> {
    let mut faults = Faults::default();
    let account = faults.take(account);
    let Some(Part::Settings(settings)) = message.part else {
        let description = "the first message has the settings; send them before the chunks";
        faults.add(FaultCode::MalformedRequest, "settings", description);
        return Err(faults.0);
    };
    let mode = mode(settings.mode, &mut faults);
    let token = client_token(&settings.client_token, &mut faults);
    if settings.client_token.len() > limits::IMPORT_TOKEN && token.is_some() {
        let description = "give up to 40 characters: the token of a chunk has its line too";
        faults.add(FaultCode::InvalidClientToken, "client_token", description);
    }
    match (account, mode) {
        (Some(account), Some(mode)) if faults.0.is_empty() => Ok(ImportRequest {
            settings: ImportSettings {
                account,
                mode,
                validate_only: settings.validate_only,
            },
            // What changes nothing needs no token.
            token: token.filter(|_| !settings.validate_only),
        }),
        _ => Err(faults.0),
    }
}

fn mode(number: i32, faults: &mut Faults) -> Option<ImportMode> {
    match user_proto::ImportMode::try_from(number) {
        Ok(user_proto::ImportMode::Unspecified | user_proto::ImportMode::Merge) => {
            Some(ImportMode::Merge)
        }
        Ok(user_proto::ImportMode::ReplaceTags) => Some(ImportMode::ReplaceTags),
        Ok(user_proto::ImportMode::CreateOnly) => Some(ImportMode::CreateOnly),
        Err(_) => {
            let description = format!("{number} is none of the values of ImportMode");
            faults.add(FaultCode::InvalidImportMode, "mode", description);
            None
        }
    }
}

/// Parses another message of `ImportUsers`, whose lines come behind this one. What is wrong with a user is a matter of its line.
///
/// # Errors
/// Every fault of the message, at least one.
pub fn import_chunk(
    message: user_proto::ImportUsersRequest,
    request: &ImportRequest,
    behind: u64,
) -> Result<ImportChunk, Error> {
    let mut faults = Faults::default();
    let Some(Part::Chunk(chunk)) = message.part else {
        let description = "each message behind the first has a chunk; send settings once";
        faults.add(FaultCode::MalformedRequest, "chunk", description);
        return Err(Error::Invalid(faults.0));
    };
    let count = chunk.lines.len();
    if !(1..=limits::IMPORT_LINES).contains(&count) {
        let description = format!("{count} lines; give 1 to {}", limits::IMPORT_LINES);
        faults.add(FaultCode::TooManyLines, "chunk.lines", description);
        return Err(Error::Invalid(faults.0));
    }
    let mut last = behind;
    for (at, line) in chunk.lines.iter().enumerate() {
        let number = u64::try_from(line.number).unwrap_or_default();
        if number <= last {
            let description = format!(
                "{} must be more than {last}, the number of the line before",
                line.number
            );
            let field = format!("chunk.lines[{at}].number");
            faults.add(FaultCode::InvalidLineNumber, field, description);
            return Err(Error::Invalid(faults.0));
        }
        last = number;
    }
    let repeat = request.token.as_ref().and_then(|token| {
        let first = chunk.lines.first()?.number;
        Some(Repeat {
            token: ClientToken::parse(&format!("{token}/{first}"))?,
            fingerprint: of_chunk(request.settings.mode, &chunk.lines),
        })
    });
    Ok(ImportChunk {
        lines: chunk.lines.into_iter().map(line).collect(),
        repeat,
    })
}

fn line(line: Line) -> ImportLine {
    let user = line.user.unwrap_or_default();
    ImportLine {
        number: u64::try_from(line.number).unwrap_or_default(),
        id: user.resource_id.chars().take(limits::ID_DIGITS).collect(),
        user: new_user(user),
    }
}

fn new_user(user: user_proto::User) -> Result<NewUser, Vec<Fault>> {
    let mut faults = Faults::default();
    require_id(&user.resource_id, "user.resource_id", &mut faults);
    require_name(&user.principal_name, &mut faults);
    let Described {
        id,
        principal_name,
        display_name,
        comments,
        tags,
    } = Described::of(user, &mut faults);
    let (Some(id), Some(name), true) = (id, principal_name, faults.0.is_empty()) else {
        return Err(faults.0);
    };
    let mut user = NewUser::new(id, name, tags).map_err(|error| {
        faults.add(FaultCode::TooManyTags, "user.tags", error.to_string());
        faults.0
    })?;
    (user.display_name, user.comments) = (display_name, comments);
    Ok(user)
}
