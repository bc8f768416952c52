//! Why a body cannot be read.

/// Why a body is no object that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is in another format.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    /// The message is compressed, or holds another format.
    #[error("the message inside is of type {0:?}, which is not read")]
    Inside(String),
    /// The table has no such kind.
    #[error("no kind {kind:?} in version {api_version:?} is known")]
    Kind {
        /// Group and version, as in the object.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// A length or a number goes beyond the end.
    #[error("the message ends in the middle of a field")]
    Truncated,
    /// A number is longer than any that fits in 64 bits.
    #[error("a number has more than ten bytes")]
    Overlong,
    /// Groups, which Kubernetes never sends, or a type that does not exist.
    #[error("a field has wire type {0}, which is not used")]
    WireType(u64),
    /// A text in place of a number, or the other way round.
    #[error("a field has another wire type than its definition")]
    Mismatch,
    /// Texts are UTF-8.
    #[error("a text is not UTF-8")]
    NotText,
    /// More levels than any kind has.
    #[error("the message is nested too deeply")]
    TooDeep,
    /// JSON inside of the message.
    #[error("embedded JSON is malformed")]
    Json,
    /// A time that no calendar has.
    #[error("a time is out of range")]
    Time,
}
