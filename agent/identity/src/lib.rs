//! The node's certificates: obtained by bootstrap token and signing request, kept on disk, renewed in
//! process before they expire.
