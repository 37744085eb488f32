//! `untag users show`.

use super::arguments::ShowArguments;
use super::row::Row;
use crate::cli::client::{Exit, Failure, Table, connect};
use crate::cli::process::end_on_signals;
use crate::client;

pub async fn run(arguments: &ShowArguments) -> Result<Exit, Failure> {
    end_on_signals().map_err(Failure::Failed)?;
    let connection = connect(&arguments.client).await?;
    let user = client::get_user(&connection, &arguments.user.key()).await?;
    let mut output = arguments.client.output();
    let row = Row::of(&user);
    if output.is_table() {
        let mut table = Table::new(["FIELD", "VALUE"]);
        output.rows(&mut table, &row.lines(), Clone::clone)?;
    } else {
        output.result("", &row)?;
    }
    Ok(Exit::Done)
}
