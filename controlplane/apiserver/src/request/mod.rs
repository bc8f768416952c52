//! What a request says, parsed once at the edge: path, query, accepted forms, body.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod path;
pub(crate) mod query;
