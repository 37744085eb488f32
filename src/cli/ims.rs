//! The flags for the cloud as the store.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::Url;

use crate::domain::AccountId;
use crate::https::server_url;
use crate::store::ims::Options;

/// How `untag serve --store ims` reaches Alibaba Cloud.
#[derive(Debug, Args)]
#[command(next_help_heading = "The cloud as the store (--store ims)")]
pub struct ImsArguments {
    /// The endpoint of the IMS API: https://, or http:// on this host.
    #[arg(long, env = "UNTAG_IMS_ENDPOINT", value_name = "URL", default_value = "https://ims.aliyuncs.com",
        value_parser = server_url)]
    ims_endpoint: Url,

    /// The service's access key in the cloud, a JSON file that is followed. Without it: the variables
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID` and `ALIBABA_CLOUD_ACCESS_KEY_SECRET`, or those of a pod's role (RRSA).
    #[arg(long, env = "UNTAG_IMS_CREDENTIALS", value_name = "FILE")]
    ims_credentials: Option<PathBuf>,

    /// The authorities that the certificates of --ims-endpoint and --sts-endpoint are checked with, a PEM file. Without it:
    /// the system's.
    #[arg(long, env = "UNTAG_IMS_CA", value_name = "FILE")]
    ims_ca: Option<PathBuf>,

    /// The endpoint of STS, which gives the keys of a pod's role (RRSA).
    #[arg(long, env = "UNTAG_STS_ENDPOINT", value_name = "URL", default_value = "https://sts.aliyuncs.com",
        value_parser = server_url)]
    sts_endpoint: Url,
}

impl ImsArguments {
    /// The options that the store is opened with.
    ///
    /// # Errors
    /// Without the account that the credentials belong to.
    pub fn options(
        &self,
        account: Option<&AccountId>,
        reload_interval: Duration,
        queue: usize,
        calls: usize,
    ) -> Result<Options, String> {
        let account = account.ok_or(
            "--store ims needs --default-account: the account that the credentials belong to, since no other can be reached",
        )?;
        Ok(Options {
            endpoint: self.ims_endpoint.clone(),
            authorities: self.ims_ca.clone(),
            account: account.clone(),
            credentials: self.ims_credentials.clone(),
            reload_interval,
            sts_endpoint: self.sts_endpoint.clone(),
            queue,
            calls,
        })
    }
}
