//! The bodies of proxied pages, changed as they pass.

use std::io::{self, Write as _};

use axum::body::Body;
use bytes::Bytes;
use flate2::write::GzDecoder;
use futures::stream::try_unfold;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::page::Page;

/// Compressed bytes taken at a time: what comes out is at most a thousand times as much.
const COMPRESSED: usize = 1024;

/// How a page is packed.
enum Packing {
    Plain,
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

/// Whether an answer is a page whose links can be read; its headers then are those of the changed page.
pub(super) fn page_headers(headers: &mut HeaderMap) -> Option<bool> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &http::HeaderValue| value.to_str().unwrap_or("?"))
    };
    let content_type = text(CONTENT_TYPE)?.split(';').next()?.trim();
    if !content_type.eq_ignore_ascii_case("text/html") {
        return None;
    }
    let gzip = match text(CONTENT_ENCODING).unwrap_or_default() {
        "" | "identity" => false,
        "gzip" => true,
        // What cannot be read passes as it is, as upstream has it.
        _ => return None,
    };
    for name in [CONTENT_LENGTH, CONTENT_ENCODING, ETAG] {
        headers.remove(name);
    }
    Some(gzip)
}

struct Passing {
    from: Incoming,
    waiting: Bytes,
    packing: Packing,
    page: Page,
    ended: bool,
}

/// The body of a page, unpacked where it is `gzip`.
pub(super) fn rewritten(from: Incoming, page: Page, gzip: bool) -> Body {
    let packing = match gzip {
        true => Packing::Gzip(Box::new(GzDecoder::new(Vec::new()))),
        false => Packing::Plain,
    };
    let passing = Passing {
        from,
        waiting: Bytes::new(),
        packing,
        page,
        ended: false,
    };
    Body::from_stream(try_unfold(passing, async |mut passing| {
        Ok::<_, io::Error>(passing.next().await?.map(|bytes| (bytes, passing)))
    }))
}

impl Passing {
    /// The next piece of the changed page.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while !self.ended {
            let out = match self.piece().await? {
                Some(piece) => {
                    let plain = self.unpacked(piece)?;
                    self.page.take(&plain)
                }
                None => {
                    self.ended = true;
                    let last = self.unpacked_last()?;
                    let mut out = self.page.take(&last);
                    out.extend(self.page.end());
                    out
                }
            };
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
        }
        Ok(None)
    }

    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        while self.waiting.is_empty() {
            let Some(frame) = self.from.frame().await else {
                return Ok(None);
            };
            // Trailers are not handed on.
            self.waiting = frame.map_err(io::Error::other)?.into_data().unwrap_or_default();
        }
        let most = match self.packing {
            Packing::Plain => self.waiting.len(),
            Packing::Gzip(_) => COMPRESSED,
        };
        Ok(Some(self.waiting.split_to(most.min(self.waiting.len()))))
    }

    fn unpacked(&mut self, piece: Bytes) -> io::Result<Bytes> {
        match &mut self.packing {
            Packing::Plain => Ok(piece),
            Packing::Gzip(decoder) => {
                decoder.write_all(&piece)?;
                Ok(std::mem::take(decoder.get_mut()).into())
            }
        }
    }

    /// What the decoder still holds; an error where the page was cut off.
    fn unpacked_last(&mut self) -> io::Result<Vec<u8>> {
        match &mut self.packing {
            Packing::Plain => Ok(Vec::new()),
            Packing::Gzip(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }
}
