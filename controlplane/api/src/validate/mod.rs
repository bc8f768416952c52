//! The rules of single parts of objects, which the kinds' strategies put together.

pub(crate) mod data;
pub(crate) mod endpoints;
pub(crate) mod event;
pub mod metadata;
pub(crate) mod node;
pub(crate) mod number;
pub mod pod;
pub(crate) mod resources;
pub(crate) mod service;
pub(crate) mod signing;
pub(crate) mod workload;

#[cfg(test)]
mod tests;
