//! Lines as the API shows them.

use jiff::Timestamp;

use super::LogLine;

/// How lines become bytes, and how many bytes may be shown.
#[derive(Debug, Clone)]
pub struct LogFormat {
    timestamps: bool,
    left: Option<u64>,
    /// Whether the last piece was the middle of a line.
    continued: bool,
}

impl LogFormat {
    /// With an RFC 3339 time before each line, and `limit` bytes in all, where asked.
    #[must_use]
    pub fn new(timestamps: bool, limit: Option<u64>) -> Self {
        Self {
            timestamps,
            left: limit,
            continued: false,
        }
    }

    /// The bytes of `line`, line feed included; `None` once the limit is reached.
    pub fn render(&mut self, line: &LogLine) -> Option<Vec<u8>> {
        if self.left == Some(0) {
            return None;
        }
        let mut bytes = Vec::with_capacity(line.bytes.len() + 36);
        if self.timestamps && !self.continued {
            bytes.extend_from_slice(time(line.time).as_bytes());
        }
        bytes.extend_from_slice(&line.bytes);
        if !line.partial {
            bytes.push(b'\n');
        }
        self.continued = line.partial;
        if let Some(left) = &mut self.left {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(*left);
        }
        Some(bytes)
    }
}

/// RFC 3339 with nanoseconds in UTC and a blank; the journal counts microseconds.
fn time(micros: u64) -> String {
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.9} ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Stream;

    fn line(text: &str, partial: bool) -> LogLine {
        LogLine {
            time: 1_700_000_000_123_456,
            stream: Stream::Stdout,
            bytes: text.into(),
            partial,
            cut_off: false,
        }
    }

    #[test]
    fn times_are_rfc_3339_with_nanoseconds() {
        let bytes = LogFormat::new(true, None).render(&line("hi", false)).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "2023-11-14T22:13:20.123456000Z hi\n"
        );
    }

    #[test]
    fn a_line_in_pieces_is_one_line_again() {
        let mut format = LogFormat::new(true, None);
        let mut all = format.render(&line("a", true)).unwrap();
        all.extend(format.render(&line("b", false)).unwrap());
        assert_eq!(all.iter().filter(|b| **b == b'\n').count(), 1);
        assert!(all.ends_with(b" ab\n"));
    }

    #[test]
    fn no_byte_beyond_the_limit_is_shown() {
        let mut format = LogFormat::new(false, Some(4));
        assert_eq!(format.render(&line("ab", false)).unwrap(), b"ab\n");
        assert_eq!(format.render(&line("cd", false)).unwrap(), b"c");
        assert_eq!(format.render(&line("ef", false)), None);
    }
}
