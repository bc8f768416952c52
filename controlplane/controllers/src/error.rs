//! Failures of a reconcile.

/// A call on the API that a reconcile could not do without.
#[derive(Debug, thiserror::Error)]
#[error("{attempt} {object}")]
pub(crate) struct ReconcileError {
    /// What was attempted.
    pub(crate) attempt: &'static str,
    /// On what.
    pub(crate) object: String,
    /// Why it failed.
    #[source]
    pub(crate) source: Box<kube::Error>,
}

/// Says what a failed call was for.
pub(crate) trait Attempt<T> {
    /// Wraps the error of `self` with what was attempted on which object.
    fn attempt(self, attempt: &'static str, object: &str) -> Result<T, ReconcileError>;
}

impl<T> Attempt<T> for Result<T, kube::Error> {
    fn attempt(self, attempt: &'static str, object: &str) -> Result<T, ReconcileError> {
        self.map_err(|source| ReconcileError {
            attempt,
            object: object.to_owned(),
            source: Box::new(source),
        })
    }
}

/// Whether the object a call was about is gone.
pub(crate) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

/// Whether the namespace is being emptied, so that nothing can be created in it.
pub(crate) fn is_namespace_ending(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
        || (status.code == 403 && status.message.contains("because it is being terminated"))
}

/// The server's own words where it spoke, for events and conditions.
pub(crate) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
