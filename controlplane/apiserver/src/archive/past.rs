//! Lists at a revision that the store no longer has in memory.

use controlplane_api::ApiError;
use controlplane_store::Revision;
use controlplane_store_sqlite::PastError;

use crate::archive::SharedArchive;
use crate::call::Call;
use crate::read::list::{self, Page};
use crate::read::select::Selection;
use crate::reply::{Reply, bug};
use crate::request::query::{ListOptions, Wanted};

/// The archive and the revision, where the list asks for exactly one that only the archive may have.
pub(crate) fn is_needed<'a>(call: &'a Call, options: &ListOptions) -> Option<(&'a SharedArchive, Revision)> {
    let archive = call.server.archive.as_ref()?;
    match options.wanted() {
        Wanted::Exact(version) if options.token.is_none() => {
            let revision = Revision::from(version);
            (revision < call.store().compacted()).then_some((archive, revision))
        }
        _ => None,
    }
}

/// Answers the list. A limit is not kept to: a page's successor would be another reading of the whole.
///
/// # Errors
///
/// 410 where that state is no longer known.
pub(crate) async fn list(
    archive: &SharedArchive,
    call: &Call,
    selection: &Selection,
    revision: Revision,
) -> Reply {
    let prefix = selection.prefix();
    let read = archive.read("read the past", move |archive| archive.list(&prefix, revision));
    let listing = read.await?.map_err(|error| refused(&error))?;
    let entries = listing.entries.into_iter();
    let page = Page {
        entries: entries.filter(|entry| selection.matches(entry)).collect(),
        revision,
        next: None,
        remaining: None,
    };
    list::shown(page, &call.form(), call.gzip).await
}

fn refused(error: &PastError) -> ApiError {
    match error {
        PastError::Forgotten { .. } => ApiError::expired(error.to_string()),
        PastError::Future { requested, newest } => list::from_the_future(*requested, Revision::from(*newest)),
        PastError::Failed(cause) => bug("read the past", cause),
    }
}
