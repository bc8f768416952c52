use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

/// The newest records, without gaps, up to a bound in bytes.
#[derive(Debug)]
pub(crate) struct Recent {
    first: u64,
    payloads: VecDeque<Bytes>,
    bytes: usize,
    limit: usize,
}

impl Recent {
    /// Nothing yet.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            first: 0,
            payloads: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

    pub(crate) fn push(&mut self, index: u64, payload: Bytes) {
        if self.next() != index {
            self.truncate_from(0);
            self.first = index;
        }
        self.bytes += payload.len();
        self.payloads.push_back(payload);
        while self.bytes > self.limit && self.pop_front() {}
    }

    pub(crate) fn truncate_from(&mut self, index: u64) {
        while self.next() > index
            && let Some(payload) = self.payloads.pop_back()
        {
            self.bytes -= payload.len();
        }
    }

    pub(crate) fn purge_through(&mut self, index: u64) {
        while self.first <= index && self.pop_front() {}
    }

    /// The records of `range` up to `max_bytes`, at least one; none where the first is not here.
    pub(crate) fn read(&self, range: Range<u64>, max_bytes: usize) -> Option<Vec<(u64, Bytes)>> {
        let skip = usize::try_from(range.start.checked_sub(self.first)?).ok()?;
        if skip >= self.payloads.len() {
            return None;
        }
        let mut left = max_bytes;
        let mut read = Vec::new();
        for (index, payload) in range.zip(self.payloads.iter().skip(skip)) {
            if !read.is_empty() && payload.len() > left {
                break;
            }
            left = left.saturating_sub(payload.len());
            read.push((index, payload.clone()));
        }
        Some(read)
    }

    fn next(&self) -> u64 {
        self.first
            .saturating_add(u64::try_from(self.payloads.len()).unwrap_or(u64::MAX))
    }

    fn pop_front(&mut self) -> bool {
        let Some(payload) = self.payloads.pop_front() else {
            return false;
        };
        self.bytes -= payload.len();
        self.first += 1;
        true
    }
}
