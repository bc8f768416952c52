//! Fields in the protobuf wire format (protobuf.dev, "Encoding").

use prost::encoding::encode_varint;

const NUMBER: u64 = 0;
const BYTES: u64 = 2;

/// Appends a field that is a number.
pub(crate) fn number(tag: u64, value: u64, out: &mut Vec<u8>) {
    encode_varint(tag << 3 | NUMBER, out);
    encode_varint(value, out);
}

/// Appends a field of bytes.
pub(crate) fn text(tag: u64, bytes: &[u8], out: &mut Vec<u8>) {
    begin(tag, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends what stands before a field of `length` bytes.
pub(crate) fn begin(tag: u64, length: usize, out: &mut Vec<u8>) {
    encode_varint(tag << 3 | BYTES, out);
    encode_varint(u64::try_from(length).unwrap_or(u64::MAX), out);
}

/// Appends a field that is a message, whose fields `write` appends.
pub(crate) fn nested<T>(tag: u64, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let start = open(tag, out);
    let done = write(out);
    close(start, out);
    done
}

/// Begins a field that is a message, which what is appended from here on belongs to.
pub(crate) fn open(tag: u64, out: &mut Vec<u8>) -> usize {
    encode_varint(tag << 3 | BYTES, out);
    out.len()
}

/// Ends the field that was opened at `start`: its length stands before what it counts, and is known only now.
pub(crate) fn close(start: usize, out: &mut Vec<u8>) {
    let mut length = Vec::with_capacity(5);
    let bytes = out.len().saturating_sub(start);
    encode_varint(u64::try_from(bytes).unwrap_or(u64::MAX), &mut length);
    out.splice(start..start, length);
}
