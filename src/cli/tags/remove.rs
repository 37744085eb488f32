//! `untag tags remove`.

use super::arguments::RemoveArguments;
use super::change;
use super::confirmation;
use super::source::Source;
use super::work::{self, Work};
use crate::cli::client::{Exit, Failure, connect};
use crate::client::{self, Mode, Removal};
use crate::domain::{TagKey, TagSelection, Targets};

pub async fn run(arguments: &RemoveArguments) -> Result<Exit, Failure> {
    let source = Source::of(&arguments.users, &arguments.file).map_err(Failure::Usage)?;
    let removal = Removal {
        selection: if arguments.all {
            TagSelection::All
        } else {
            TagSelection::Keys(arguments.keys.clone())
        },
        allow_missing: arguments.allow_missing,
        mode: if arguments.dry_run {
            Mode::DryRun
        } else {
            Mode::Make
        },
    };
    let asks = arguments.all && !arguments.yes && removal.mode == Mode::Make;
    if asks {
        confirmation::check(&source).map_err(Failure::Usage)?;
    }
    let connection = connect(&arguments.client).await?;
    if asks {
        confirmation::confirm(&connection, &source).await?;
    }
    let what = match &removal.selection {
        TagSelection::All => "every tag".to_owned(),
        TagSelection::Keys(keys) => work::keys(keys.iter().map(TagKey::as_str)),
    };
    let work = Work {
        label: "removing tags",
        done: format!("removed {what} of"),
        exception: if arguments.allow_missing {
            ", or of those who exist"
        } else {
            ""
        },
        mode: removal.mode,
    };
    let call = async |users: &Targets| client::untag(&connection, users, &removal).await;
    change::make(&source, &work, arguments.client.output(), call).await
}
