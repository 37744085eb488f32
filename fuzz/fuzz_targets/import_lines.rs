//! Any bytes as a file of users, and as a message of an import: a line is refused by its number, or is a user that is written as it is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use untag::domain::AccountId;
use untag::grpc::proto::user::v1::import_users_request::Part;
use untag::grpc::proto::user::v1::{ImportSettings, ImportUsersRequest};
use untag::grpc::{parse_import_chunk, parse_import_settings};

fuzz_target!(|bytes: &[u8]| {
    untag::cli::fuzzing::import_lines(bytes);
    if let Ok(message) = ImportUsersRequest::decode(bytes) {
        check_settings(message.clone());
        check_chunk(message);
    }
});

fn account() -> AccountId {
    AccountId::parse("1").expect("digits are an account id")
}

fn check_settings(message: ImportUsersRequest) {
    let Some(Part::Settings(settings)) = message.part.clone() else {
        assert!(parse_import_settings(message, Ok(account())).is_err());
        return;
    };
    let token = &settings.client_token;
    let is_valid = (0..=3).contains(&settings.mode)
        && token.len() <= 40
        && token.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match parse_import_settings(message, Ok(account())) {
        Ok(_) => assert!(is_valid, "taken against the contract: {settings:?}"),
        Err(faults) => assert!(!is_valid && !faults.is_empty(), "{settings:?}: {faults:?}"),
    }
}

fn check_chunk(message: ImportUsersRequest) {
    let settings = ImportUsersRequest {
        part: Some(Part::Settings(ImportSettings {
            client_token: "token".to_owned(),
            ..ImportSettings::default()
        })),
    };
    let request = parse_import_settings(settings, Ok(account())).expect("the settings are right");
    let Some(Part::Chunk(chunk)) = message.part.clone() else {
        assert!(parse_import_chunk(message, &request, 0).is_err());
        return;
    };
    let numbers: Vec<i64> = chunk.lines.iter().map(|line| line.number).collect();
    let is_valid = (1..=1000).contains(&numbers.len())
        && numbers[0] > 0
        && numbers.is_sorted_by(|one, next| one < next);
    let Ok(parsed) = parse_import_chunk(message, &request, 0) else {
        assert!(!is_valid, "refused against the contract: {numbers:?}");
        return;
    };
    assert!(is_valid, "taken against the contract: {numbers:?}");
    assert!(parsed.repeat.is_some());
    assert_eq!(parsed.lines.len(), numbers.len());
    for (line, given) in parsed.lines.iter().zip(&chunk.lines) {
        assert_eq!(i64::try_from(line.number), Ok(given.number));
        let id = given.user.as_ref().map(|user| user.resource_id.as_str());
        match &line.user {
            Ok(user) => assert_eq!(Some(user.id.as_str()), id),
            Err(faults) => assert!(!faults.is_empty()),
        }
    }
}
