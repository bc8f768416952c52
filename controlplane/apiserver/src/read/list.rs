//! Lists: one consistent snapshot, paged, selected, in the form the client asked for.

use std::sync::Arc;

use axum::response::Response;
use controlplane_api::ApiError;
use controlplane_api::table;
use controlplane_store::{Entry, Key, Range, Revision, Store, StoreError};
use http::StatusCode;
use serde_json::{Value, json};

use crate::read::binary;
use crate::read::render::{Form, stored};
use crate::read::select::Selection;
use crate::read::stream::{self, Head};
use crate::read::token::Token;
use crate::reply::{self, Reply};
use crate::request::accept::{Encoding, Shape};
use crate::request::query::{ListOptions, Wanted};

/// How many entries are looked at in one go while a selector sifts them.
const SIFT: usize = 1000;

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) revision: Revision,
    /// Token for the next page.
    pub(crate) next: Option<String>,
    /// How many entries follow; unknown where a selector sifts.
    pub(crate) remaining: Option<u64>,
}

/// Answers with `page`.
///
/// # Errors
///
/// Only where stored bytes are no JSON, which would be a bug.
pub(crate) async fn shown(mut page: Page, form: &Form<'_>, gzip: bool) -> Reply {
    if form.accepted.shape == Shape::Table {
        sort(&mut page, form);
    }
    let head = Head::new(form, page.revision, page.next.as_deref(), page.remaining);
    match (form.accepted.encoding, form.accepted.shape) {
        (Encoding::Yaml, Shape::Table) => return yaml_table(&page, form),
        (Encoding::Yaml, Shape::Plain | Shape::Metadata) => return as_yaml(&page, form, &head),
        (Encoding::Protobuf, _) => return binary::list(page, form, &head, gzip).await,
        (Encoding::Json, _) => {}
    }
    stream::reply(page.entries, form, &head, gzip)
}

/// Puts a table's rows into the order of its kind, if it has one beside the names'.
fn sort(page: &mut Page, form: &Form<'_>) {
    let Some(key) = form.resource.row_order else {
        return;
    };
    let of = |entry: &Arc<Entry>| stored(entry, entry.mod_revision).map_or(0, |object| key(&object));
    page.entries.sort_by_cached_key(of);
}

fn yaml_table(page: &Page, form: &Form<'_>) -> Reply {
    let objects = values(page)?;
    let mut table = table::table(form.resource, &objects, form.now, form.include);
    if let Some(slot) = table.get_mut("metadata") {
        *slot = metadata(page);
    }
    reply::encoded(StatusCode::OK, &table, form.accepted.encoding)
}

fn as_yaml(page: &Page, form: &Form<'_>, head: &Head) -> Result<Response, ApiError> {
    let items: Vec<Value> = values(page)?
        .into_iter()
        .map(|object| form.shaped(object))
        .collect();
    let (kind, api_version) = head.kind();
    let list = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata(page), "items": items});
    reply::encoded(StatusCode::OK, &list, form.accepted.encoding)
}

fn values(page: &Page) -> Result<Vec<Value>, ApiError> {
    let parse = |entry: &Arc<Entry>| entry.value.to_json(entry.mod_revision);
    page.entries
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()
        .map_err(|e| reply::bug("read a stored object", &e))
}

fn metadata(page: &Page) -> Value {
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let (Some(next), Some(map)) = (&page.next, metadata.as_object_mut()) {
        map.insert("continue".to_owned(), json!(next));
        if let Some(remaining) = page.remaining {
            map.insert("remainingItemCount".to_owned(), json!(remaining));
        }
    }
    metadata
}

/// Reads one page.
///
/// # Errors
///
/// 410 where the snapshot is gone, 400 for a bad token, 504 for a version from the future.
pub(crate) fn page(store: &Store, selection: &Selection, options: &ListOptions) -> Result<Page, ApiError> {
    let (at, after) = start(store, selection, options)?;
    let range = Range {
        prefix: selection.prefix(),
        after: after.clone(),
        limit: options.limit,
        at,
    };
    read(store, selection, range).map_err(|error| match (error, after) {
        (StoreError::Compacted { .. }, Some(after)) => {
            let newest = Token {
                revision: None,
                after,
            };
            ApiError::expired_page(newest.encode(selection.folder()))
        }
        (StoreError::Compacted { .. }, None) => {
            ApiError::expired("The resourceVersion for the provided list is too old.")
        }
        (other, _) => refused(&other),
    })
}

fn token(selection: &Selection, revision: Revision, last: &Entry) -> String {
    let token = Token {
        revision: Some(revision),
        after: last.key.clone(),
    };
    token.encode(selection.folder())
}

fn read(store: &Store, selection: &Selection, range: Range) -> Result<Page, StoreError> {
    if selection.is_everything() {
        let listing = store.list(&range)?;
        let more = listing.remaining > 0;
        let next = listing.entries.last().filter(|_| more);
        let next = next.map(|last| token(selection, listing.revision, last));
        let remaining = more.then_some(listing.remaining);
        return Ok(Page {
            entries: listing.entries,
            revision: listing.revision,
            next,
            remaining,
        });
    }
    sift(store, selection, range)
}

/// Where the list begins and at which revision.
fn start(
    store: &Store,
    selection: &Selection,
    options: &ListOptions,
) -> Result<(Option<Revision>, Option<Key>), ApiError> {
    if let Some(token) = &options.token {
        let Token { revision, after } = Token::decode(token, selection.folder())?;
        if options.resource_version.is_some_and(|version| version > 0) {
            let why = "specifying resource version is not allowed when using continue";
            return Err(ApiError::bad_request(why));
        }
        return Ok((revision, Some(after)));
    }
    match options.wanted() {
        Wanted::MostRecent | Wanted::Any => Ok((None, None)),
        Wanted::NotOlderThan(version) if version > store.revision().get() => {
            Err(from_the_future(version, store.revision()))
        }
        Wanted::NotOlderThan(_) => Ok((None, None)),
        Wanted::Exact(version) => Ok((Some(Revision::from(version)), None)),
    }
}

/// Goes through the snapshot until enough entries are selected.
fn sift(store: &Store, selection: &Selection, mut range: Range) -> Result<Page, StoreError> {
    let wanted = range.limit.unwrap_or(usize::MAX);
    range.limit = Some(SIFT);
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    loop {
        let listing = store.list(&range)?;
        range.at = Some(listing.revision);
        range.after = listing.entries.last().map(|last| last.key.clone());
        for entry in listing.entries {
            if !selection.matches(&entry) {
                continue;
            }
            if entries.len() == wanted {
                let next = entries.last();
                let next = next.map(|last| token(selection, listing.revision, last));
                return Ok(Page {
                    entries,
                    revision: listing.revision,
                    next,
                    remaining: None,
                });
            }
            entries.push(entry);
        }
        if listing.remaining == 0 {
            return Ok(Page {
                entries,
                revision: listing.revision,
                next: None,
                remaining: None,
            });
        }
    }
}

/// The store's refusal of a read in the API's words.
pub(crate) fn refused(error: &StoreError) -> ApiError {
    match error {
        StoreError::Compacted { requested, compacted } => {
            ApiError::expired(format!("too old resource version: {requested} ({compacted})"))
        }
        StoreError::FutureRevision { requested, current } => from_the_future(requested.get(), *current),
        other => reply::bug("read the store", other),
    }
}

/// 504, as upstream answers a read at a version that does not exist yet.
pub(crate) fn from_the_future(version: u64, current: Revision) -> ApiError {
    ApiError::version_too_large(version, current.get())
}
