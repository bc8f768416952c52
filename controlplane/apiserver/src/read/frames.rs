//! Events that were encoded once, for all watches that send them in the same form.
//!
//! Watches of one kind wake together, so what one of them has encoded is what the next asks for. Bounded in bytes and in
//! number, the oldest goes first; whoever comes later encodes again, and gets the same bytes.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use controlplane_api::table::Include;
use controlplane_api::{ApiError, Resource};
use controlplane_store::{Entry, Revision};

use crate::request::accept::Accepted;

/// Bytes that are kept beside the newest frame, with the values that the frames were made of.
const BYTES: usize = 2 << 20;

/// Frames that are kept, however short they are.
const FRAMES: usize = 1024;

/// Something shared, told apart by where it is.
#[derive(Debug, Clone)]
pub(crate) struct Same<T>(pub(crate) Arc<T>);

impl<T> PartialEq for Same<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Same<T> {}

impl<T> Hash for Same<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// All that the bytes of an event depend on. Its own shares keep what is told apart by place from giving way to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub(crate) event: &'static str,
    pub(crate) entry: Same<Entry>,
    pub(crate) revision: Revision,
    pub(crate) resource: Same<Resource>,
    pub(crate) accepted: Accepted,
    /// What only tables depend on.
    pub(crate) table: Option<Row>,
}

/// What a table of one row depends on beside the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) include: Include,
    pub(crate) columns: Columns,
    /// Unix time in seconds: a row tells ages in whole seconds.
    pub(crate) second: i64,
}

/// Whether a table says what its columns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Columns {
    Told,
    LeftOut,
}

/// One frame, or the place for it: whoever is first encodes, and the others wait for that.
type Slot = Arc<Mutex<Option<Bytes>>>;

/// Frames of events, shared by the watches of a server.
#[derive(Debug, Default)]
pub(crate) struct Frames(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    slots: HashMap<Asked, Slot>,
    /// In the order in which they were first asked for, with the bytes that they keep, once known.
    order: VecDeque<(Asked, usize)>,
    bytes: usize,
}

impl Frames {
    /// The frame that was asked for; `encode` makes it where it is not kept.
    ///
    /// # Errors
    ///
    /// Passes on those of `encode`, which the next one to ask tries again.
    pub(crate) fn get(
        &self,
        asked: Asked,
        encode: impl FnOnce() -> Result<Bytes, ApiError>,
    ) -> Result<Bytes, ApiError> {
        let slot = self.kept().slot(&asked);
        let mut place = locked(&slot);
        if let Some(frame) = &*place {
            return Ok(frame.clone());
        }
        let frame = encode()?;
        *place = Some(frame.clone());
        drop(place);
        let keeps = frame.len() + asked.entry.0.value.bytes().len();
        self.kept().weigh(&asked, keeps);
        Ok(frame)
    }

    /// How many frames are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.kept().slots.len()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        locked(&self.0)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    fn slot(&mut self, asked: &Asked) -> Slot {
        if let Some(slot) = self.slots.get(asked) {
            return Arc::clone(slot);
        }
        if self.order.len() >= FRAMES {
            self.forget_oldest();
        }
        let slot = Slot::default();
        self.slots.insert(asked.clone(), Arc::clone(&slot));
        self.order.push_back((asked.clone(), 0));
        slot
    }

    /// Notes what a frame keeps, and makes room for it.
    fn weigh(&mut self, asked: &Asked, keeps: usize) {
        // It was asked for a moment ago, so it is near the end; it is gone where many others were asked for meanwhile.
        let Some((_, noted)) = self.order.iter_mut().rev().find(|(other, _)| other == asked) else {
            return;
        };
        self.bytes = (self.bytes + keeps).saturating_sub(std::mem::replace(noted, keeps));
        while self.bytes > BYTES && self.order.len() > 1 {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((asked, kept)) = self.order.pop_front() {
            self.bytes = self.bytes.saturating_sub(kept);
            self.slots.remove(&asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use controlplane_store::{Key, Value};
    use serde_json::json;

    use super::*;

    fn resource() -> Same<Resource> {
        let registry = controlplane_api::builtin();
        Same(Arc::clone(registry.find("", "v1", "configmaps").unwrap()))
    }

    fn asked(resource: &Same<Resource>, revision: u64, size: usize) -> Asked {
        let value = Value::encode(&json!({"metadata": {}, "data": {"k": "x".repeat(size)}})).unwrap();
        let revision = Revision::from(revision);
        let entry = Entry {
            key: Key::parse("/registry/configmaps/default/a").unwrap(),
            value,
            create_revision: revision,
            mod_revision: revision,
            expires_at: None,
        };
        Asked {
            event: "ADDED",
            entry: Same(Arc::new(entry)),
            revision,
            resource: resource.clone(),
            accepted: Accepted::default(),
            table: None,
        }
    }

    fn of(text: &'static str) -> Result<Bytes, ApiError> {
        Ok(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn who_asks_alike_shares_one_frame_and_who_asks_otherwise_gets_another() {
        let frames = Frames::default();
        let kind = resource();
        let first = asked(&kind, 7, 10);
        assert_eq!(frames.get(first.clone(), || of("one")).unwrap(), "one");
        let again = frames.get(first.clone(), || panic!("encoded twice"));
        assert_eq!(again.unwrap(), "one");
        let (entry, resource) = (asked(&kind, 7, 10).entry, resource());
        let row = Row {
            include: Include::None,
            columns: Columns::Told,
            second: 1,
        };
        let others = [
            Asked {
                event: "DELETED",
                ..first.clone()
            },
            Asked {
                revision: Revision::from(8),
                ..first.clone()
            },
            Asked {
                entry,
                ..first.clone()
            },
            Asked {
                resource,
                ..first.clone()
            },
            Asked {
                table: Some(row),
                ..first.clone()
            },
            Asked {
                table: Some(Row { second: 2, ..row }),
                ..first.clone()
            },
            Asked {
                table: Some(Row {
                    columns: Columns::LeftOut,
                    ..row
                }),
                ..first
            },
        ];
        for other in others {
            assert_eq!(frames.get(other, || of("other")).unwrap(), "other");
        }
    }

    #[test]
    fn a_frame_that_could_not_be_made_is_tried_again() {
        let frames = Frames::default();
        let it = asked(&resource(), 7, 10);
        frames
            .get(it.clone(), || Err(ApiError::internal("no")))
            .unwrap_err();
        assert_eq!(frames.get(it, || of("made")).unwrap(), "made");
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_in_number_and_the_newest_is_always_kept() {
        let (frames, kind) = (Frames::default(), resource());
        for revision in 0..100 {
            let it = asked(&kind, revision, BYTES / 10);
            frames.get(it, || of("frame")).unwrap();
            let kept = frames.kept();
            assert!(kept.bytes <= BYTES && kept.order.len() <= 10 && kept.slots.len() == kept.order.len());
        }
        let huge = asked(&kind, 100, BYTES * 2);
        frames.get(huge.clone(), || of("huge")).unwrap();
        assert_eq!(frames.kept().order.len(), 1);
        assert_eq!(frames.get(huge, || panic!("encoded twice")).unwrap(), "huge");
        for revision in 0..3000 {
            frames.get(asked(&kind, revision, 1), || of("small")).unwrap();
        }
        let kept = frames.kept();
        assert_eq!((kept.slots.len(), kept.order.len()), (FRAMES, FRAMES));
    }
}
