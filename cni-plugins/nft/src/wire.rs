//! Netlink messages as bytes, read and written without a panic whatever they hold.

/// Length of a netlink header.
pub(crate) const HEADER: usize = 16;
/// Family, version and resource ID of netfilter's messages.
pub(crate) const FAMILY_HEADER: usize = 4;
/// The family of the table.
pub(crate) const NFPROTO_INET: u8 = 1;
pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP_INTR: u16 = 0x10;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
/// Marks an attribute that holds attributes.
const NLA_F_NESTED: u16 = 0x8000;
/// Marks nested attributes and byte order; no part of an attribute's type.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// One netlink message.
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// The socket whose request caused it.
    pub(crate) port: u32,
    pub(crate) body: &'a [u8],
}

/// The messages of a datagram; a malformed one ends it.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.0;
        let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
        let message = Message {
            kind: u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?),
            flags: u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?),
            sequence: u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?),
            port: u32::from_ne_bytes(bytes.get(12..16)?.try_into().ok()?),
            body: bytes.get(HEADER..length)?,
        };
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// The error code that a message of kind [`NLMSG_ERROR`] carries; 0 says that all is well.
pub(crate) fn error_code(body: &[u8]) -> i32 {
    body.first_chunk()
        .map_or(0, |raw| i32::from_ne_bytes(*raw))
        .saturating_abs()
}

/// Attributes with their types; a malformed one ends them.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes behind netfilter's own header.
    pub(crate) fn of(body: &'a [u8]) -> Self {
        Self(body.get(FAMILY_HEADER..).unwrap_or_default())
    }

    /// The value of the first attribute of type `kind`.
    pub(crate) fn find(self, kind: u16) -> Option<&'a [u8]> {
        let mut all = self;
        all.find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// The attributes inside of the first attribute of type `kind`; none where it is not there.
    pub(crate) fn nested(self, kind: u16) -> Self {
        Self(self.find(kind).unwrap_or_default())
    }

    /// The text, without its NUL, of the first attribute of type `kind`.
    pub(crate) fn text(self, kind: u16) -> Option<&'a str> {
        let value = self.find(kind)?;
        std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.0;
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & NLA_TYPE_MASK;
        let value = bytes.get(4..length)?;
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// Messages to be sent in one datagram.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    /// Where the last message begins, for its flags.
    last: usize,
}

impl Writer {
    /// Appends a message for `family`; `resource` is 0 but for the marks around a batch.
    pub(crate) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        sequence: u32,
        (family, resource): (u8, u16),
        fill: impl FnOnce(&mut Body<'_>),
    ) {
        let start = self.bytes.len();
        self.last = start;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        fill(&mut Body(&mut self.bytes));
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        overwrite(&mut self.bytes, start, &length.to_ne_bytes());
    }

    /// Asks for an answer to the last message.
    pub(crate) fn acknowledge_last(&mut self) {
        let at = self.last + 6;
        let flags = self.bytes.get(at..at + 2).and_then(|raw| raw.try_into().ok());
        let flags = u16::from_ne_bytes(flags.unwrap_or_default()) | NLM_F_ACK;
        overwrite(&mut self.bytes, at, &flags.to_ne_bytes());
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The attributes of a message that is being written.
pub(crate) struct Body<'a>(&'a mut Vec<u8>);

impl Body<'_> {
    /// Appends an attribute, padded to four bytes.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.pad();
    }

    /// Appends an attribute with a text that ends in NUL.
    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value);
    }

    /// Appends an attribute whose value `fill` writes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Body<'_>)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend((kind | NLA_F_NESTED).to_ne_bytes());
        fill(&mut Body(self.0));
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        overwrite(self.0, start, &length.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

fn overwrite(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::default();
        writer.message(7, NLM_F_CREATE, 42, (NFPROTO_INET, 0), |body| {
            body.text(1, "floe");
            body.nest(3, |inner| inner.put(9, &[1, 2, 3]));
        });
        writer.acknowledge_last();
        let message = Messages(writer.bytes()).next().unwrap();
        assert_eq!((message.kind, message.sequence), (7, 42));
        assert_eq!(message.flags, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK);
        let attributes = Attributes::of(message.body);
        assert_eq!(attributes.text(1), Some("floe"));
        assert_eq!(attributes.nested(3).find(9), Some(&[1, 2, 3][..]));
    }

    #[test]
    fn a_datagram_that_was_cut_off_ends_without_a_panic() {
        let mut writer = Writer::default();
        writer.message(7, 0, 1, (NFPROTO_INET, 0), |body| {
            body.nest(1, |inner| inner.text(2, "masquerade-pods"));
        });
        let whole = writer.bytes();
        for end in 0..whole.len() {
            assert_eq!(Messages(&whole[..end]).count(), 0, "{end}");
            assert!(Attributes(&whole[..end]).count() <= end);
            assert!(Attributes::of(&whole[..end]).nested(1).text(2).is_none());
        }
    }
}
