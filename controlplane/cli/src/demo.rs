//! The demo: nginx from Debian packages, as an image made without any registry, and a page.

mod image;
mod workload;

pub(crate) use image::{archive, export};
pub(crate) use workload::{apply, fetch, wait_ready};
