//! The subcommand `untag man`.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::args::{Arguments, ManArguments};
use super::{fail, written_files};

/// The section of the manual that is about commands.
const SECTION: &str = "1";

pub fn run(arguments: &ManArguments) -> ExitCode {
    let mut command = Arguments::command().disable_help_subcommand(true);
    // Gives each subcommand the name of its page, such as untag-tags-list.
    command.build();
    let mut pages = Vec::new();
    if let Err(error) = add_pages(&command, &mut pages) {
        return fail(format_args!("cannot make the manual pages: {error}"));
    }
    written_files::write(&arguments.directory, pages)
}

/// Adds the page of a command and those of its subcommands, each with the name of its file.
fn add_pages(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let page = Man::new(command.clone())
        .section(SECTION)
        .source(concat!("untag ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render(&mut text)?;
    pages.push((page.get_filename(), text));
    for subcommand in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        add_pages(subcommand, pages)?;
    }
    Ok(())
}
