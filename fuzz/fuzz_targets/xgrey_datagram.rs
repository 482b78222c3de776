//! Whatever datagram comes, as a request to a server or as an answer to a client: it is read without
//! panic, and what was read of it can be written, and then says the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::xgrey_v1::client::{Answer, Unsendable, Wrong, decode_answer, encode_request};
use wire::xgrey_v1::{
    Asked, Decoded, Refused, Request, Secret, decode, encode_config, encode_refused, encode_reply,
    encode_stats,
};

/// The input with its checksum: no fuzzer finds one that fits.
fn sealed(input: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for &byte in input.iter().chain(Secret::DEFAULT_TEXT.as_bytes()) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    [crc.to_be_bytes().as_slice(), input].concat()
}

fn as_request(datagram: &[u8], secret: &Secret) {
    match decode(datagram, secret) {
        Decoded::Silent(_) => {}
        Decoded::Refused(Refused { mta, error }) => {
            let mut out = Vec::new();
            encode_refused(secret, Refused { mta, error }, &mut out);
            let answer = decode_answer(secret, mta, &Request::NoOp, &out);
            assert_eq!(answer, Err(Wrong::Refused(error)));
        }
        Decoded::Asked(Asked { mta, request }) => {
            let mut out = Vec::new();
            match encode_request(secret, mta, &request, &mut out) {
                Ok(()) => {
                    let again = decode(&out, secret);
                    assert_eq!(again, Decoded::Asked(Asked { mta, request }));
                }
                // A text that fills a datagram to its end has no room for its NUL.
                Err(error) => assert!(matches!(error, Unsendable::TooLong { .. }), "{error}"),
            }
            as_answer(datagram, &request, secret);
        }
    }
}

fn as_answer(datagram: &[u8], request: &Request<'_>, secret: &Secret) {
    for mta in [0, 3] {
        let mut out = Vec::new();
        let answer = decode_answer(secret, mta, request, datagram);
        match answer {
            Ok(Answer::Reply { action, why }) => {
                let kind = request.answer_type();
                encode_reply(secret, mta, kind, action.code(), why, &mut out);
            }
            Ok(Answer::Stats(stats)) => encode_stats(secret, mta, &stats, &mut out),
            Ok(Answer::Config(config)) => encode_config(secret, mta, &config, &mut out),
            Err(_) => continue,
        }
        assert_eq!(decode_answer(secret, mta, request, &out), answer);
    }
}

fuzz_target!(|input: &[u8]| {
    let secret = Secret::default();
    as_request(input, &secret);
    let datagram = sealed(input);
    as_request(&datagram, &secret);
    for request in [Request::NoOp, Request::ShowStats, Request::ShowConfig] {
        as_answer(&datagram, &request, &secret);
    }
});
