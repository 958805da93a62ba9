//! Every message goes to bytes and to text and back, and no bytes make the decoder fall over.

use fossil_lite::p9::{Message, Qid, Stat, Tagged, body_size};
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    "[a-z' \\[\\]äλ∀]{0,12}"
}

fn qid() -> impl Strategy<Value = Qid> {
    (any::<u8>(), any::<u32>(), any::<u64>()).prop_map(|(kind, version, path)| Qid {
        kind,
        version,
        path,
    })
}

fn stat() -> impl Strategy<Value = Box<Stat>> {
    let numbers = any::<(u16, u32, u32, u32, u32, u64)>();
    (numbers, qid(), text(), text(), text(), text()).prop_map(
        |((device_type, device, mode, access_time, modification_time, length), qid, a, b, c, d)| {
            let (name, owner, group, modifier) = (a, b, c, d);
            Box::new(Stat {
                device_type,
                device,
                qid,
                mode,
                access_time,
                modification_time,
                length,
                name,
                owner,
                group,
                modifier,
            })
        },
    )
}

fn request() -> impl Strategy<Value = Message> {
    let fid = any::<u32>();
    prop_oneof![
        (fid, text()).prop_map(|(msize, version)| Message::Tversion { msize, version }),
        (fid, text(), text()).prop_map(|(afid, uname, aname)| Message::Tauth {
            afid,
            uname,
            aname
        }),
        (fid, fid, text(), text()).prop_map(|(fid, afid, uname, aname)| Message::Tattach {
            fid,
            afid,
            uname,
            aname
        }),
        any::<u16>().prop_map(|oldtag| Message::Tflush { oldtag }),
        (fid, fid, proptest::collection::vec(text(), 0..=16))
            .prop_map(|(fid, newfid, wname)| Message::Twalk { fid, newfid, wname }),
        (fid, any::<u8>()).prop_map(|(fid, mode)| Message::Topen { fid, mode }),
        (fid, text(), fid, any::<u8>()).prop_map(|(fid, name, perm, mode)| Message::Tcreate {
            fid,
            name,
            perm,
            mode
        }),
        (fid, any::<u64>(), fid).prop_map(|(fid, offset, count)| Message::Tread {
            fid,
            offset,
            count
        }),
        (fid, any::<u64>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(fid, offset, data)| Message::Twrite { fid, offset, data }),
        fid.prop_map(|fid| Message::Tclunk { fid }),
        fid.prop_map(|fid| Message::Tremove { fid }),
        fid.prop_map(|fid| Message::Tstat { fid }),
        (fid, stat()).prop_map(|(fid, stat)| Message::Twstat { fid, stat }),
    ]
}

fn response() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any::<u32>(), text()).prop_map(|(msize, version)| Message::Rversion { msize, version }),
        qid().prop_map(|aqid| Message::Rauth { aqid }),
        qid().prop_map(|qid| Message::Rattach { qid }),
        text().prop_map(|ename| Message::Rerror { ename }),
        Just(Message::Rflush {}),
        proptest::collection::vec(qid(), 0..=16).prop_map(|wqid| Message::Rwalk { wqid }),
        (qid(), any::<u32>()).prop_map(|(qid, iounit)| Message::Ropen { qid, iounit }),
        (qid(), any::<u32>()).prop_map(|(qid, iounit)| Message::Rcreate { qid, iounit }),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|data| Message::Rread { data }),
        any::<u32>().prop_map(|count| Message::Rwrite { count }),
        Just(Message::Rclunk {}),
        Just(Message::Rremove {}),
        stat().prop_map(|stat| Message::Rstat { stat }),
        Just(Message::Rwstat {}),
    ]
}

proptest! {
    #[test]
    fn messages_go_to_bytes_and_text_and_back(
        tag in any::<u16>(),
        message in prop_oneof![request(), response()],
    ) {
        let tagged = Tagged { tag, message };
        let frame = tagged.encode();
        let (size, body) = frame.split_first_chunk::<4>().unwrap();
        prop_assert_eq!(body_size(*size, u32::MAX), Ok(body.len()));
        prop_assert_eq!(&Tagged::decode(body).unwrap(), &tagged);
        prop_assert_eq!(&tagged.to_string().parse::<Tagged>().unwrap(), &tagged);
        // A byte less or more is an error, never another message.
        prop_assert!(Tagged::decode(&body[..body.len() - 1]).is_err());
        let longer = [body, &[0]].concat();
        prop_assert!(Tagged::decode(&longer).is_err());
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(body in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(tagged) = Tagged::decode(&body) {
            prop_assert_eq!(&tagged.encode()[4..], &body[..]);
        }
    }

    /// Most random bytes have no known type: these have.
    #[test]
    fn random_fields_never_panic(
        number in 100u8..=127,
        rest in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let body = [&[number], &rest[..]].concat();
        if let Ok(tagged) = Tagged::decode(&body) {
            prop_assert_eq!(&tagged.encode()[4..], &body[..]);
        }
    }
}

#[test]
fn a_read_as_the_manual_lays_it_out() {
    let read: Tagged = "Tread tag 258 fid 1 offset 2 count 3".parse().unwrap();
    let expected = [23, 0, 0, 0, 116, 2, 1, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0];
    assert_eq!(read.encode(), expected);
}

#[test]
fn lengths_are_checked_before_anything_is_allocated() {
    let mut write: Vec<u8> =
        "Twrite tag 1 fid 1 offset 0 data 'x'".parse::<Tagged>().unwrap().encode();
    write[19..23].copy_from_slice(&[0xff; 4]);
    let error = Tagged::decode(&write[4..]).unwrap_err();
    assert_eq!(error.to_string(), "the message ends 4294967294 bytes too early");
}

#[test]
fn frames_that_can_not_be() {
    let error = body_size([6, 0, 0, 0], 8192).unwrap_err();
    assert_eq!(error.to_string(), "a frame of 6 bytes, expected 7 to 8192");
    assert!(body_size([0xff; 4], 8192).is_err());
    assert_eq!(body_size([7, 0, 0, 0], 8192), Ok(3));
}

#[test]
fn strings_are_utf8_without_nul() {
    for bad in [[0xff, b'a'], [b'a', 0]] {
        let mut error = vec![107, 0, 0, 2, 0];
        error.extend_from_slice(&bad);
        let found = Tagged::decode(&error).unwrap_err();
        assert_eq!(found.to_string(), "a string is not UTF-8 or contains NUL");
    }
}
