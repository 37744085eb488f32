//! `untag users rename`.

use super::arguments::RenameArguments;
use super::row::say_changed;
use crate::cli::client::{Exit, Failure, connect};
use crate::cli::process::end_on_signals;
use crate::client;
use crate::domain::{Edit, UserUpdate};

pub async fn run(arguments: &RenameArguments) -> Result<Exit, Failure> {
    let connection = connect(&arguments.client).await?;
    end_on_signals().map_err(Failure::Failed)?;
    let update = UserUpdate {
        id: arguments.user.id(&connection).await?,
        principal_name: arguments.name.clone(),
        display_name: arguments.display_name.clone().unwrap_or(Edit::Keep),
        comments: arguments.comments.clone().unwrap_or(Edit::Keep),
        tags: None,
    };
    let updated = client::update_user(&connection, &update).await?;
    let what = match &arguments.name {
        Some(name) => format!("renamed the user {} to {name}", update.id),
        None => format!("described the user {} anew", update.id),
    };
    say_changed(arguments.client.output(), &what, &updated)
}
