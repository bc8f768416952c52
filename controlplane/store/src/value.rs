use std::sync::Arc;

use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::Revision;

/// A stored object: JSON bytes without `metadata.resourceVersion`, and the place in them where it is
/// filled in as they leave, so that reading parses nothing.
///
/// Invariant: the byte before the splice point is the `{` that opens `metadata`. Cloning shares the bytes, which take one
/// allocation of their length: most of the store's memory is values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    bytes: Arc<[u8]>,
    splice: u32,
}

/// Why bytes cannot be a stored [`Value`].
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// Only JSON objects are stored.
    #[error("a stored value must be a JSON object whose metadata, if any, is one too")]
    NotAnObject,
    /// The bytes and the offset do not belong together.
    #[error("splice point {splice} of a stored value of {len} bytes does not follow an opening brace")]
    BadSplice {
        /// The offset that was given.
        splice: u32,
        /// How many bytes there are.
        len: usize,
    },
    /// Larger than an offset of 32 bits can reach.
    #[error("stored value of {0} bytes is too large")]
    TooLarge(usize),
    /// The bytes are not JSON.
    #[error("stored value is not JSON")]
    Json(#[from] serde_json::Error),
}

impl Value {
    /// Puts together bytes and splice point as they were read back from disk.
    ///
    /// # Errors
    ///
    /// Refuses an offset that does not follow an opening brace.
    pub fn new(bytes: impl Into<Arc<[u8]>>, splice: u32) -> Result<Self, ValueError> {
        let bytes = bytes.into();
        let before = usize::try_from(splice).ok().and_then(|at| at.checked_sub(1));
        match before.and_then(|at| bytes.get(at)) {
            Some(b'{') => Ok(Self { bytes, splice }),
            _ => Err(ValueError::BadSplice {
                splice,
                len: bytes.len(),
            }),
        }
    }

    /// Serialises `object` without its resource version; an object without `metadata` gets an empty one.
    ///
    /// # Errors
    ///
    /// Refuses whatever is not an object, or one of 4 GiB and more.
    pub fn encode(object: &Json) -> Result<Self, ValueError> {
        let fields = object.as_object().ok_or(ValueError::NotAnObject)?;
        let mut out = vec![b'{'];
        let mut splice = None;
        for (name, field) in fields {
            separate(&mut out);
            write_name(&mut out, name)?;
            if name == "metadata" {
                splice = Some(write_metadata(&mut out, field)?);
            } else {
                serde_json::to_writer(&mut out, field)?;
            }
        }
        if splice.is_none() {
            separate(&mut out);
            write_name(&mut out, "metadata")?;
            splice = Some(write_metadata(&mut out, &Json::Object(serde_json::Map::new()))?);
        }
        out.push(b'}');
        let len = out.len();
        let splice = splice
            .and_then(|at| u32::try_from(at).ok())
            .ok_or(ValueError::TooLarge(len))?;
        Self::new(out, splice)
    }

    /// Appends the object to `out` with `revision` as its resource version.
    pub fn write_with(&self, revision: Revision, out: &mut Vec<u8>) {
        let (head, tail) = self.halves();
        out.reserve(self.bytes.len() + 48);
        out.extend_from_slice(head);
        write_revision(revision, tail, out);
        out.extend_from_slice(tail);
    }

    /// Appends the object's `metadata` alone, with `revision` as its resource version. Reads no further than to its end.
    ///
    /// # Errors
    ///
    /// Fails only where the stored bytes are not JSON.
    pub fn write_metadata_with(&self, revision: Revision, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let (_, tail) = self.halves();
        let opened = self.from_metadata();
        let mut found = serde_json::Deserializer::from_slice(opened).into_iter::<&RawValue>();
        let metadata = found.next().ok_or(ValueError::NotAnObject)??.get();
        out.push(b'{');
        write_revision(revision, tail, out);
        out.extend_from_slice(metadata.get(1..).unwrap_or_default().as_bytes());
        Ok(())
    }

    /// The parsed object with `revision` as its resource version; for logic that must look inside.
    ///
    /// # Errors
    ///
    /// Fails only where the stored bytes are not JSON.
    pub fn to_json(&self, revision: Revision) -> Result<Json, ValueError> {
        let mut out = Vec::new();
        self.write_with(revision, &mut out);
        Ok(serde_json::from_slice(&out)?)
    }

    /// The bytes as they are stored, without resource version.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The stored bytes from the brace that opens `metadata`: who needs no more than that reads no further than to its end.
    #[must_use]
    pub fn from_metadata(&self) -> &[u8] {
        let (head, _) = self.halves();
        self.bytes.get(head.len().saturating_sub(1)..).unwrap_or_default()
    }

    /// Offset at which the resource version is filled in.
    #[must_use]
    pub fn splice(&self) -> u32 {
        self.splice
    }

    fn halves(&self) -> (&[u8], &[u8]) {
        let at = usize::try_from(self.splice).unwrap_or(usize::MAX);
        self.bytes.split_at_checked(at).unwrap_or((&self.bytes, &[]))
    }
}

/// Writes the resource version as the first of the fields that `rest` begins with.
fn write_revision(revision: Revision, rest: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"resourceVersion\":\"");
    out.extend_from_slice(revision.get().to_string().as_bytes());
    out.push(b'"');
    if rest.first() != Some(&b'}') {
        out.push(b',');
    }
}

/// Writes `metadata` without its resource version and returns the offset after its opening brace.
fn write_metadata(out: &mut Vec<u8>, metadata: &Json) -> Result<usize, ValueError> {
    let fields = metadata.as_object().ok_or(ValueError::NotAnObject)?;
    out.push(b'{');
    let splice = out.len();
    for (name, field) in fields.iter().filter(|(name, _)| *name != "resourceVersion") {
        separate(out);
        write_name(out, name)?;
        serde_json::to_writer(&mut *out, field)?;
    }
    out.push(b'}');
    Ok(splice)
}

fn write_name(out: &mut Vec<u8>, name: &str) -> Result<(), ValueError> {
    serde_json::to_writer(&mut *out, name)?;
    out.push(b':');
    Ok(())
}

/// Writes the comma between two fields, unless an object has just been opened.
fn separate(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_resource_version_of_the_revision_replaces_the_one_sent() {
        let object = json!({"kind": "Pod", "metadata": {"name": "web", "resourceVersion": "7"}, "spec": {}});
        let value = Value::encode(&object).unwrap();
        assert!(!value.bytes().windows(15).any(|w| w == b"resourceVersion"));
        let read = value.to_json(Revision::from(42)).unwrap();
        assert_eq!(
            read,
            json!({"kind": "Pod", "metadata": {"name": "web", "resourceVersion": "42"}, "spec": {}})
        );
    }

    #[test]
    fn an_object_without_metadata_gets_one() {
        for object in [json!({}), json!({"spec": 1}), json!({"metadata": {}})] {
            let read = Value::encode(&object)
                .unwrap()
                .to_json(Revision::from(3))
                .unwrap();
            assert_eq!(read["metadata"], json!({"resourceVersion": "3"}));
        }
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for object in [json!([]), json!("x"), json!({"metadata": "x"})] {
            assert!(matches!(Value::encode(&object), Err(ValueError::NotAnObject)));
        }
    }

    #[test]
    fn bytes_read_back_must_fit_their_splice_point() {
        let value = Value::encode(&json!({"metadata": {"name": "a"}})).unwrap();
        assert_eq!(Value::new(value.bytes(), value.splice()).unwrap(), value);
        for wrong in [0, 3, 4000] {
            assert!(Value::new(value.bytes(), wrong).is_err());
        }
    }

    proptest! {
        #[test]
        fn encoding_changes_nothing_but_the_resource_version(
            names in proptest::collection::btree_map("[a-z\"\\\\]{1,6}", "\\PC{0,8}", 0..5),
            spec in "\\PC{0,12}",
            revision in 1u64..,
        ) {
            let mut expected = json!({"metadata": names, "spec": {"text": spec}});
            let value = Value::encode(&expected).unwrap();
            expected["metadata"]["resourceVersion"] = json!(revision.to_string());
            prop_assert_eq!(&value.to_json(Revision::from(revision)).unwrap(), &expected);
            let mut metadata = Vec::new();
            value.write_metadata_with(Revision::from(revision), &mut metadata).unwrap();
            let metadata: serde_json::Value = serde_json::from_slice(&metadata).unwrap();
            prop_assert_eq!(&metadata, &expected["metadata"]);
        }
    }
}
