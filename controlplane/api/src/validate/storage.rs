//! Rules of the kinds by which storage is offered, found and attached.

pub(crate) mod attachment;
pub(crate) mod capacity;
pub(crate) mod class;
pub(crate) mod driver;
