//! The credentials of the service in the cloud: an access key, or the keys of a role.

mod role;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::Url;
use serde::Deserialize;
use thiserror::Error;

use crate::bom::without_bom;
use crate::https::ClientError;
use crate::json_object::Object;
use crate::reload::{Follower, LoadError};
use crate::signature::{KeyPart, Secret, key_problem};
use crate::telemetry::metrics::Reload;
use role::{Role, RoleKeys};

/// An access key, which may be a temporary one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub access_key_id: String,
    #[serde(rename = "access_key_secret")]
    pub secret: Secret,
    pub security_token: Option<Secret>,
}

/// Why there are no credentials.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// Neither a flag nor a variable names any.
    #[error(
        "there are no credentials for the cloud; give --ims-credentials, or set ALIBABA_CLOUD_ACCESS_KEY_ID and \
         ALIBABA_CLOUD_ACCESS_KEY_SECRET, or let the pod have ALIBABA_CLOUD_ROLE_ARN, \
         ALIBABA_CLOUD_OIDC_PROVIDER_ARN and ALIBABA_CLOUD_OIDC_TOKEN_FILE (RRSA)"
    )]
    Missing,
    /// One of two variables that belong together is missing.
    #[error("{set} is set and {missing} is not; set both, or neither")]
    Incomplete {
        /// The variable that is set.
        set: &'static str,
        /// The variable that is missing.
        missing: &'static str,
    },
    /// A variable that can't be a key.
    #[error("{variable} {problem}")]
    Variable {
        /// The name of the variable.
        variable: &'static str,
        /// What is wrong with its value, which is not shown.
        problem: &'static str,
    },
    /// The file can't be used.
    #[error(transparent)]
    File(#[from] LoadError),
    /// The client of STS can't be set up.
    #[error("cannot ask for the keys of the role: {0}")]
    Client(#[from] ClientError),
}

/// The service that gives the keys of roles (STS).
#[derive(Debug, Clone)]
pub struct Sts {
    /// The endpoint.
    pub endpoint: Url,
    /// The authorities that it is trusted by, a PEM file; without it the system's.
    pub authorities: Option<PathBuf>,
}

/// The source of credentials while the service runs.
#[derive(Debug)]
pub enum Provider {
    /// Credentials of the environment, which stay the same.
    Fixed(Arc<Credentials>),
    /// Credentials of a file that is followed.
    File(Arc<ArcSwap<Credentials>>),
    /// The keys of a role, which are renewed in time.
    Role(RoleKeys),
}

impl Provider {
    /// Finds credentials: the file where one is given, else the cloud's own variables, first those of a key and then those
    /// of a role, as the official SDKs do.
    ///
    /// # Errors
    /// [`CredentialsError`] with what is missing or wrong.
    pub fn start(
        file: Option<&Path>,
        interval: Duration,
        sts: &Sts,
    ) -> Result<Self, CredentialsError> {
        if let Some(path) = file {
            let follower = Follower::load(
                Reload::CloudCredentials,
                "credentials file",
                vec![path.to_path_buf()],
                |contents| Credentials::parse(&contents.concat()),
            )?;
            return Ok(Self::File(follower.follow(interval)));
        }
        let variables = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(key) = Credentials::of_variables(variables)? {
            return Ok(Self::Fixed(Arc::new(key)));
        }
        match Role::of_variables(variables)? {
            Some(role) => Ok(Self::Role(RoleKeys::start(role, sts)?)),
            None => Err(CredentialsError::Missing),
        }
    }

    /// The newest credentials; `None` while a role has none that are valid.
    pub fn current(&self) -> Option<Arc<Credentials>> {
        match self {
            Self::Fixed(credentials) => Some(Arc::clone(credentials)),
            Self::File(credentials) => Some(credentials.load_full()),
            Self::Role(keys) => keys.current(),
        }
    }
}

const KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const SECURITY_TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";

impl Credentials {
    /// Reads a file. No value of it is ever repeated.
    fn parse(contents: &[u8]) -> Result<Self, String> {
        let text = without_bom(contents).map_err(|error| error.to_string())?;
        let Object::<Self>(credentials) = serde_json::from_slice(text).map_err(|error| {
            format!(
                "line {}, column {} is not as it should be: {{\"access_key_id\", \"access_key_secret\"}}, and \
                 \"security_token\" for a temporary key",
                error.line(),
                error.column()
            )
        })?;
        match credentials.problem() {
            None => Ok(credentials),
            Some((part, problem)) => Err(format!("{} {problem}", part.name())),
        }
    }

    fn of_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, CredentialsError> {
        let incomplete = |set, missing| CredentialsError::Incomplete { set, missing };
        let (access_key_id, secret) = match (variable(KEY_ID), variable(KEY_SECRET)) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(incomplete(KEY_ID, KEY_SECRET)),
            (None, Some(_)) => return Err(incomplete(KEY_SECRET, KEY_ID)),
            (Some(id), Some(secret)) => (id, Secret::new(secret)),
        };
        let credentials = Self {
            access_key_id,
            secret,
            security_token: variable(SECURITY_TOKEN).map(Secret::new),
        };
        match credentials.problem() {
            None => Ok(Some(credentials)),
            Some((part, problem)) => {
                let variable = match part {
                    KeyPart::Id => KEY_ID,
                    KeyPart::Secret => KEY_SECRET,
                    KeyPart::Token => SECURITY_TOKEN,
                };
                Err(CredentialsError::Variable { variable, problem })
            }
        }
    }

    /// The first part that can't be sent, and why.
    fn problem(&self) -> Option<(KeyPart, &'static str)> {
        key_problem(
            &self.access_key_id,
            &self.secret,
            self.security_token.as_ref(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_key_and_shows_no_secret() {
        let good =
            r#"{"access_key_id":"id","access_key_secret":"hidden","security_token":"hidden-too"}"#;
        let credentials = Credentials::parse(good.as_bytes()).unwrap();
        assert_eq!(credentials.secret.reveal(), "hidden");
        assert!(!format!("{credentials:?}").contains("hidden"));
        for bad in [
            String::new(),
            "[]".to_owned(),
            r#"{"access_key_id":"id","access_key_secret":["hidden"]}"#.to_owned(),
            good.replace("\"id\"", "\"a,b\""),
            good.replace("\"hidden\"", "\"\""),
            good.replace("hidden-too", "hidden too"),
            good.replace("security_token", "hidden"),
        ] {
            let error = Credentials::parse(bad.as_bytes()).unwrap_err();
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn a_file_may_begin_with_the_byte_order_mark_of_utf_8_alone() {
        let marked = "\u{feff}{\"access_key_id\":\"id\",\"access_key_secret\":\"hidden\"}";
        Credentials::parse(marked.as_bytes()).unwrap();
        let error = Credentials::parse(b"\xfe\xff\0{").unwrap_err();
        assert!(error.contains("(BOM) of UTF-16"), "{error}");
    }

    #[test]
    fn variables_are_taken_whole() {
        let of = |set: &'static [(&str, &str)]| {
            Credentials::of_variables(move |name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(of(&[]).unwrap().is_none());
        let key = of(&[(KEY_ID, "id"), (KEY_SECRET, "hidden")])
            .unwrap()
            .unwrap();
        assert!(key.security_token.is_none());
        let all = of(&[
            (KEY_ID, "id"),
            (KEY_SECRET, "hidden"),
            (SECURITY_TOKEN, "t"),
        ]);
        assert_eq!(all.unwrap().unwrap().security_token.unwrap().reveal(), "t");
        let error = of(&[(KEY_SECRET, "hidden")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET is set and ALIBABA_CLOUD_ACCESS_KEY_ID is not; set both, or neither"
        );
        let error = of(&[(KEY_ID, "a b"), (KEY_SECRET, "hidden")]).unwrap_err();
        assert!(!error.to_string().contains("hidden"));
    }
}
