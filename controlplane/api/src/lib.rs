//! Kubernetes objects as data: kinds, strategies, validation, selectors, quantities, `Status`. No I/O.
