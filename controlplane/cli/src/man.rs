//! Manual pages, made from the command line's own description.

use std::path::Path;

use anyhow::Context;

/// Writes one page for `command` and one for each subcommand into `folder`.
pub(crate) fn write(command: clap::Command, folder: &Path) -> anyhow::Result<()> {
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("write manual pages into {}", folder.display()))
}
