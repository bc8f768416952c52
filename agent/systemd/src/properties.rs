//! Specifications as the properties of `StartTransientUnit`.
