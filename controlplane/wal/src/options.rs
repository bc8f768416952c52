/// How a log lays itself out; [`Options::default`] is meant for production.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Size at which a segment is followed by the next; one append never spans two, so it may be larger.
    pub segment_bytes: u64,
    /// Zeros are written ahead in multiples of this, which measured best at 256 KiB: less costs more metadata commits,
    /// more costs pauses.
    pub fill_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            fill_bytes: 256 << 10,
        }
    }
}
