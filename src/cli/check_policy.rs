//! The subcommand `untag check-policy`.

use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use super::args::{AttemptArguments, CheckPolicyArguments};
use super::security::ineffective_deny;
use crate::auth::{Attempt, Decision, PolicySet};
use crate::domain::AccountId;

/// The exit code of a wrong command line, which clap uses too; 1 means denied.
const WRONG: u8 = 2;

pub fn run(arguments: &CheckPolicyArguments) -> ExitCode {
    match check(arguments) {
        Ok((text, exit_code)) => {
            // Whoever closes stdout early reads the exit code alone.
            let _ = io::stdout().write_all(text.as_bytes());
            exit_code
        }
        Err(error) => {
            eprintln!("untag: {error}");
            ExitCode::from(WRONG)
        }
    }
}

fn check(arguments: &CheckPolicyArguments) -> Result<(String, ExitCode), String> {
    let file = arguments.file.display();
    let text = fs::read(&arguments.file).map_err(|error| format!("cannot read {file}: {error}"))?;
    let ineffective = ineffective_deny(arguments.allow_ineffective_deny);
    let policies =
        PolicySet::parse(&text, ineffective).map_err(|error| format!("{file}: {error}"))?;
    let warnings = policies.warnings();
    if arguments.strict && !warnings.is_empty() {
        let errors = warnings.iter().map(|error| format!("\nerror: {error}"));
        let errors: String = errors.collect();
        return Err(format!("{file} is refused by --strict:{errors}"));
    }
    if let Some(attempt) = &arguments.attempt {
        return explain(&policies, attempt);
    }
    let warnings = warnings.iter();
    let warnings = warnings.map(|warning| format!("warning: {warning}\n"));
    let valid = format!("{file} is valid: {}\n", policies.summary());
    Ok((valid + &warnings.collect::<String>(), ExitCode::SUCCESS))
}

fn explain(policies: &PolicySet, given: &AttemptArguments) -> Result<(String, ExitCode), String> {
    let account = match &given.account {
        Some(account) => account.clone(),
        None => any_account(policies)?,
    };
    let explanation = policies.explain(&Attempt {
        caller: &given.caller,
        account: &account,
        action: given.action,
        source_ip: given.source_ip,
        secure_transport: given.secure_transport,
        time: given.time.unwrap_or_else(SystemTime::now),
    });
    let exit_code = match explanation.decision() {
        Decision::Allowed => ExitCode::SUCCESS,
        Decision::Denied(_) => ExitCode::FAILURE,
    };
    Ok((format!("{explanation}\n"), exit_code))
}

/// Any account, for policies that tell none apart.
fn any_account(policies: &PolicySet) -> Result<AccountId, String> {
    let named: Vec<_> = policies
        .named_accounts()
        .into_iter()
        .map(AccountId::as_str)
        .collect();
    if named.is_empty() {
        AccountId::parse("0").map_err(|reason| reason.to_string())
    } else {
        Err(format!(
            "the decision depends on the account; give --account: {}, or another one",
            named.join(", ")
        ))
    }
}
