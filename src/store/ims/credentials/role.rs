//! A role that a pod takes on with its OIDC token (RRSA): STS `AssumeRoleWithOIDC`, again and again before its keys expire.
//! <https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-assumerolewithoidc>

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Credentials, CredentialsError, Sts};
use crate::https::{self, with_causes};
use crate::reload::read_file;
use crate::signature::{Secret, timestamp};
use crate::telemetry::metrics::{Reload, metrics};

/// How long one request may take, and the largest answer in bytes.
const TIMEOUT: Duration = Duration::from_secs(10);
const LARGEST_ANSWER: usize = 64 * 1024;
/// The longest OIDC token, by the documentation.
const LONGEST_TOKEN: usize = 20_000;
/// How long before their end keys are renewed, as the official SDKs do; shorter-lived ones are renewed after half their life.
const RENEW_BEFORE: Duration = Duration::from_mins(15);
/// The pause after the first failure. It doubles with each, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

const ROLE_ARN: &str = "ALIBABA_CLOUD_ROLE_ARN";
const PROVIDER_ARN: &str = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
const TOKEN_FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const SESSION_NAME: &str = "ALIBABA_CLOUD_ROLE_SESSION_NAME";

/// A role, and the token that it is taken on with.
#[derive(Debug)]
pub struct Role {
    arn: String,
    provider_arn: String,
    token_file: PathBuf,
    session_name: String,
}

/// The keys of a role. They are renewed until this is dropped.
#[derive(Debug)]
pub struct RoleKeys {
    current: Arc<ArcSwapOption<Keys>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Keys {
    credentials: Arc<Credentials>,
    expire: SystemTime,
}

impl Role {
    /// The role of the variables that a pod has in ACK; `None` where there is none.
    pub fn of_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, CredentialsError> {
        let names = [ROLE_ARN, PROVIDER_ARN, TOKEN_FILE];
        let values = names.map(&variable);
        let set = values.iter().position(Option::is_some);
        let missing = values.iter().position(Option::is_none);
        match (set, missing) {
            (None, _) => Ok(None),
            (Some(set), Some(missing)) => Err(CredentialsError::Incomplete {
                set: names[set],
                missing: names[missing],
            }),
            (Some(_), None) => {
                let [arn, provider_arn, token_file] = values.map(Option::unwrap_or_default);
                let session_name = variable(SESSION_NAME);
                Ok(Some(Self {
                    arn,
                    provider_arn,
                    token_file: token_file.into(),
                    session_name: session_name.unwrap_or_else(|| "untag".to_owned()),
                }))
            }
        }
    }
}

impl RoleKeys {
    /// Begins to ask for keys, and does not wait for the first ones.
    pub fn start(role: Role, sts: &Sts) -> Result<Self, CredentialsError> {
        let authorities = sts.authorities.as_deref();
        let client = https::client(&sts.endpoint, authorities, TIMEOUT, Policy::none())?;
        let current = Arc::new(ArcSwapOption::empty());
        let task = tokio::spawn(keep_fresh(
            role,
            client,
            sts.endpoint.clone(),
            Arc::clone(&current),
        ));
        Ok(Self { current, task })
    }

    /// The newest keys, as long as they are valid.
    pub fn current(&self) -> Option<Arc<Credentials>> {
        let keys = self.current.load();
        let keys = keys.as_ref().filter(|keys| keys.expire > SystemTime::now());
        keys.map(|keys| Arc::clone(&keys.credentials))
    }
}

impl Drop for RoleKeys {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_fresh(role: Role, client: Client, endpoint: Url, current: Arc<ArcSwapOption<Keys>>) {
    let mut failures = 0;
    loop {
        let result = assume(&role, &client, &endpoint).await;
        metrics()
            .server
            .reloaded(Reload::CloudCredentials, result.is_ok());
        let pause = match result {
            Ok(keys) => {
                failures = 0;
                let left = keys.expire.duration_since(SystemTime::now());
                let left = left.unwrap_or_default();
                tracing::info!(role = role.arn, valid_for = ?left, "the role's keys are new");
                current.store(Some(Arc::new(keys)));
                until_renewal(left)
            }
            Err(error) => {
                let pause = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures));
                let pause = pause.min(LONGEST_RETRY);
                failures += 1;
                let file = role.token_file.display();
                tracing::warn!(role = role.arn, %file, error, failures, ?pause, "cannot renew the role's keys; will try again");
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// The time until keys with so much time left are renewed. It is a second at least: an endpoint whose keys are expired when
/// they come is not to be asked all the time.
fn until_renewal(left: Duration) -> Duration {
    left.saturating_sub(RENEW_BEFORE)
        .max(left / 2)
        .max(FIRST_RETRY)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    credentials: Option<Given>,
    code: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    access_key_id: String,
    access_key_secret: Secret,
    security_token: Secret,
    expiration: String,
}

/// Asks for keys once. An error tells nothing of what was sent or answered but the code.
async fn assume(role: &Role, client: &Client, endpoint: &Url) -> Result<Keys, String> {
    // Small, and on a volume in memory.
    let token = read_file(&role.token_file);
    let token = token.map_err(|error| format!("the OIDC token can't be read: {error}"))?;
    let token = String::from_utf8_lossy(&token);
    let token = token.trim();
    if !(4..=LONGEST_TOKEN).contains(&token.len()) {
        return Err("the OIDC token has not 4 to 20,000 characters".to_owned());
    }
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("Action", "AssumeRoleWithOIDC")
        .append_pair("Version", "2015-04-01")
        .append_pair("Format", "JSON")
        .append_pair("RoleArn", &role.arn)
        .append_pair("OIDCProviderArn", &role.provider_arn)
        .append_pair("OIDCToken", token)
        .append_pair("RoleSessionName", &role.session_name)
        .append_pair("DurationSeconds", "3600")
        .append_pair("Timestamp", &timestamp())
        .append_pair("SignatureNonce", &Uuid::new_v4().to_string())
        .finish();
    let answer = client
        .post(endpoint.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(form)
        .send()
        .await
        .map_err(|error| with_causes(&error.without_url()))?;
    let status = answer.status().as_u16();
    let body = https::body(answer, LARGEST_ANSWER).await;
    let body = body.map_err(|error| error.to_string())?;
    let answer: Option<Answer> = serde_json::from_slice(&body).ok();
    let Some(Answer { credentials, code }) = answer else {
        return Err(format!(
            "the answer, of HTTP status {status}, can't be read"
        ));
    };
    match credentials {
        Some(given) if status == 200 => given
            .keys()
            .ok_or_else(|| "the answer has no temporary key, or not when it expires".to_owned()),
        _ => Err(format!(
            "HTTP status {status}, code {}",
            code.as_deref().unwrap_or("unknown")
        )),
    }
}

impl Given {
    fn keys(self) -> Option<Keys> {
        let expire = OffsetDateTime::parse(&self.expiration, &Rfc3339).ok()?;
        let credentials = Credentials {
            access_key_id: self.access_key_id,
            secret: self.access_key_secret,
            security_token: Some(self.security_token),
        };
        credentials.problem().is_none().then(|| Keys {
            credentials: Arc::new(credentials),
            expire: expire.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_renewed_a_quarter_of_an_hour_before_they_expire() {
        for (left, pause) in [(3600, 2700), (1800, 900), (900, 450), (10, 5), (0, 1)] {
            let pause_for = until_renewal(Duration::from_secs(left));
            assert_eq!(pause_for, Duration::from_secs(pause), "{left}");
        }
    }

    #[test]
    fn a_role_needs_all_of_its_variables() {
        let of = |set: &'static [&str]| {
            Role::of_variables(move |name| set.contains(&name).then(|| format!("the {name}")))
        };
        assert!(of(&[]).unwrap().is_none());
        assert!(of(&[SESSION_NAME]).unwrap().is_none());
        let role = of(&[ROLE_ARN, PROVIDER_ARN, TOKEN_FILE]).unwrap().unwrap();
        assert_eq!(role.session_name, "untag");
        assert_eq!(role.arn, "the ALIBABA_CLOUD_ROLE_ARN");
        let error = of(&[PROVIDER_ARN, TOKEN_FILE]).unwrap_err();
        assert!(
            matches!(
                error,
                CredentialsError::Incomplete {
                    missing: ROLE_ARN,
                    ..
                }
            ),
            "{error}"
        );
    }
}
