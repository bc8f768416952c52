use proptest::prelude::*;

use super::dictionary::DICTIONARY;
use super::*;

fn decode_all(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Frame> {
    decoder.feed(bytes);
    std::iter::from_fn(|| decoder.next_frame().unwrap()).collect()
}

/// SYN_STREAM of stream 1 with `port: 80`, `requestid: 0`, `streamtype: error`, made by Python's zlib, which
/// shares no code with ours.
const FOREIGN: &[u8] = include_bytes!("syn_stream.bin");

#[test]
fn the_dictionary_is_the_one_everybody_has() {
    // Its Adler-32 is in the zlib header of every SPDY/3 stream.
    let mut zlib = flate2::Compress::new(flate2::Compression::default(), true);
    assert_eq!(DICTIONARY.len(), 1423);
    assert_eq!(zlib.set_dictionary(&DICTIONARY).unwrap(), 0xe3c6_a7c2);
}

#[test]
fn what_another_zlib_wrote_is_read() {
    let frames = decode_all(&mut Decoder::new(), FOREIGN);
    let headers = Headers::from([("port", "80"), ("requestid", "0"), ("streamtype", "error")]);
    assert_eq!(
        frames,
        [Frame::SynStream {
            stream: 1,
            fin: false,
            headers
        }]
    );
}

#[test]
fn frames_are_laid_out_as_the_draft_draws_them() {
    assert_eq!(data(1, b"ab").as_ref(), b"\0\0\0\x01\0\0\0\x02ab");
    assert_eq!(finish(3).as_ref(), b"\0\0\0\x03\x01\0\0\0");
    assert_eq!(ping(1).as_ref(), b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x01");
    let refused = reset(5, ResetReason::Refused);
    assert_eq!(refused.as_ref(), b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x05\0\0\0\x03");
    let update = window_update(7, 258);
    assert_eq!(update.as_ref(), b"\x80\x03\0\x09\0\0\0\x08\0\0\0\x07\0\0\x01\x02");
}

#[test]
fn another_version_and_a_frame_too_large_are_refused() {
    let mut decoder = Decoder::new();
    decoder.feed(b"\x80\x02\0\x06\0\0\0\x04\0\0\0\x01");
    assert!(matches!(decoder.next_frame(), Err(SpdyError::Version(2))));
    let mut decoder = Decoder::new();
    decoder.feed(b"\0\0\0\x01\0\xff\xff\xff");
    assert!(matches!(
        decoder.next_frame(),
        Err(SpdyError::TooLarge(0xff_ffff))
    ));
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let headers = proptest::collection::btree_map("[a-z]{1,9}", "[ -~]{0,40}", 0..6).prop_map(|pairs| {
        let mut headers = Headers::default();
        for (name, value) in &pairs {
            let one = Headers::from([(name.as_str(), value.as_str())]);
            headers.extend(one);
        }
        headers
    });
    let stream = 1_u32..1000;
    let bytes = proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let frame = prop_oneof![
        (stream.clone(), any::<bool>(), headers.clone())
            .prop_map(|(stream, fin, headers)| Frame::SynStream { stream, fin, headers }),
        (stream.clone(), headers).prop_map(|(stream, headers)| Frame::SynReply { stream, headers }),
        (stream.clone(), any::<bool>(), bytes).prop_map(|(stream, fin, bytes)| Frame::Data {
            stream,
            fin,
            bytes
        }),
        (stream.clone(), any::<u32>()).prop_map(|(stream, reason)| Frame::RstStream { stream, reason }),
        (stream.clone(), any::<u32>()).prop_map(|(stream, delta)| Frame::WindowUpdate { stream, delta }),
        (stream, any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        any::<u32>().prop_map(Frame::Ping),
        Just(Frame::Other(4)),
    ];
    proptest::collection::vec(frame, 0..20)
}

proptest! {
    #[test]
    fn frames_survive_the_wire_however_it_is_cut(frames in frames(), piece in 1_usize..64) {
        let mut encoder = Encoder::new().unwrap();
        let wire: Vec<u8> = frames.iter().flat_map(|frame| encoder.encode(frame).unwrap()).collect();
        let mut decoder = Decoder::new();
        let read: Vec<Frame> = wire.chunks(piece).flat_map(|bytes| decode_all(&mut decoder, bytes)).collect();
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn no_bytes_crash_the_decoder(mut wire in proptest::collection::vec(any::<u8>(), 0..400), kind in 0_u8..12) {
        if let Some(head) = wire.get_mut(..6) {
            head.copy_from_slice(&[0x80, 3, 0, kind, 0, 0]);
        }
        let mut decoder = Decoder::new();
        decoder.feed(&wire);
        while let Ok(Some(_)) = decoder.next_frame() {}
    }
}
