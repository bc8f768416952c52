//! What a full disk is called.
//!
//! Errors reach the agent as types, but also as the words of crun, floe-run, network plugins and mounting
//! threads: the kernel's phrase is all that they have in common, so that is what is looked for.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};

/// The kernel's words for ENOSPC and EDQUOT, in lower case: Go programs write them so.
const PHRASES: [&str; 2] = ["no space left on device", "disk quota exceeded"];

/// `text`, where it tells of a full disk, with which file system to free space on.
pub(crate) fn explain(text: &str) -> String {
    // Of the same length in bytes, so that places in it are places in the text.
    let lower = text.to_ascii_lowercase();
    let found = PHRASES
        .iter()
        .find_map(|phrase| Some((lower.find(phrase)?, phrase.len())));
    let Some((at, length)) = found else {
        return text.to_owned();
    };
    let (before, rest) = text.split_at(at);
    let rest = rest.get(length..).unwrap_or_default();
    let place = last_path(before).and_then(file_system);
    let place = place.map_or_else(|| "the node".to_owned(), |place| place.display().to_string());
    format!(
        "{before}no space left: free space on {place}{}",
        without_number(rest)
    )
}

/// An error and its causes on one line, explained.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    explain(&format!("{error:#}"))
}

/// `status` with what its containers wait for, or ended by, explained.
pub(crate) fn in_status(mut status: PodStatus) -> PodStatus {
    let init = status.init_container_statuses.iter_mut().flatten();
    let main = status.container_statuses.iter_mut().flatten();
    let ephemeral = status.ephemeral_container_statuses.iter_mut().flatten();
    for container in init.chain(main).chain(ephemeral) {
        for message in messages(container) {
            *message = explain(message);
        }
    }
    status
}

fn messages(container: &mut ContainerStatus) -> impl Iterator<Item = &mut String> {
    let state = container.state.iter_mut();
    state.chain(container.last_state.iter_mut()).flat_map(|state| {
        let waiting = state
            .waiting
            .iter_mut()
            .filter_map(|waiting| waiting.message.as_mut());
        waiting.chain(
            state
                .terminated
                .iter_mut()
                .filter_map(|ended| ended.message.as_mut()),
        )
    })
}

/// The number of the error that Rust puts after the words.
fn without_number(rest: &str) -> &str {
    let number = rest
        .strip_prefix(" (os error ")
        .and_then(|rest| rest.split_once(')'));
    number.map_or(rest, |(_, rest)| rest)
}

/// The last absolute path in `text`.
fn last_path(text: &str) -> Option<&Path> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '('));
    let path = words.rev().find(|word| word.starts_with('/'))?;
    Some(Path::new(path.trim_end_matches([':', ',', ';', ')', '.'])))
}

/// Where the file system that holds `path` is mounted.
fn file_system(path: &Path) -> Option<PathBuf> {
    let device = |path: &Path| Some(path.symlink_metadata().ok()?.dev());
    // Folders alone: an overlay gives its files other numbers.
    let mut folders = path.ancestors().filter(|path| path.is_dir());
    let mut top = folders.next()?;
    let own = device(top)?;
    for folder in folders {
        if device(folder) != Some(own) {
            break;
        }
        top = folder;
    }
    Some(top.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_to_free_space_on_is_named() {
        let said = explain("write /proc/sys/x.json: No space left on device (os error 28)");
        assert_eq!(said, "write /proc/sys/x.json: no space left: free space on /proc");
        let unknown = explain("mount: no space left on device; gave up");
        assert_eq!(unknown, "mount: no space left: free space on the node; gave up");
    }

    #[test]
    fn other_errors_stay_as_they_are() {
        let text = "write /run/x: Permission denied (os error 13)";
        assert_eq!(explain(text), text);
    }

    #[test]
    fn an_explained_text_is_not_explained_again() {
        let once = explain("write /x: Disk quota exceeded (os error 122)");
        assert_eq!(explain(&once), once);
        assert!(once.ends_with("no space left: free space on /"), "{once}");
    }
}
