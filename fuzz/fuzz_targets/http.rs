//! Whatever comes as a body over HTTP: reading it never panics, what is understood asks something, and what is not
//! is answered with a mistake of bounded length. Of a hook's body that is cut, the same is understood, or nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xgrey::http::{Asked, Extent, Hook, QUESTIONS_MAX, Stage};

fuzz_target!(|body: &[u8]| {
    match Asked::parse(body) {
        Ok(asked) => {
            assert!((1..=QUESTIONS_MAX).contains(&asked.len()));
            assert_eq!(asked.queries().count(), asked.len());
        }
        Err(wrong) => assert!(wrong.json().len() < 10_000 && !wrong.to_string().is_empty()),
    }
    let Ok(whole) = Hook::parse(body, Extent::Whole) else { return };
    let queries = whole.queries();
    assert_eq!(queries.is_empty(), whole.stage() == Stage::Other);
    for cut in [body.len() / 2, body.len() * 3 / 4, body.len() * 7 / 8] {
        if let Ok(hook) = Hook::parse(&body[..cut], Extent::Cut) {
            // A later field of the same name would have counted.
            assert!(hook.stage() == Stage::Other || !hook.queries().is_empty());
        }
    }
});
