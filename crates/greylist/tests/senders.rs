//! What counts of an address: the corpus of shapes in `data/senders.tsv`, and what must hold for
//! any bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use greylist::identity::{Normalisation, Reduction, Reductions};
use greylist::{Client, HashKey, Identity, Query};
use proptest::prelude::*;

const SENDERS: &str = include_str!("data/senders.tsv");
const KEY: HashKey = HashKey::new(*b"sixteen byte key");

fn identity(normalisation: Normalisation) -> Identity {
    Identity { normalisation, ..Identity::DEFAULT }
}

fn sender(normalisation: Normalisation, sender: &[u8]) -> (Vec<u8>, Reductions) {
    let mut out = Vec::new();
    let applied = identity(normalisation).normalise_sender(sender, &mut out);
    (out, applied)
}

fn recipient(normalisation: Normalisation, recipient: &[u8]) -> (Vec<u8>, Reductions) {
    let mut out = Vec::new();
    let applied = identity(normalisation).normalise_recipient(recipient, &mut out);
    (out, applied)
}

/// The rows of the corpus: original and normalised.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    SENDERS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let mut columns = line.split('\t');
        let row = (columns.next().unwrap(), columns.next().unwrap());
        assert!(columns.next().is_some_and(|comment| !comment.is_empty()), "no comment: {line}");
        row
    })
}

#[test]
fn each_shape_in_the_corpus_counts_as_its_row_says() {
    let wrong: Vec<String> = rows()
        .filter_map(|(original, expected)| {
            let (counted, applied) = sender(Normalisation::ALL, original.as_bytes());
            let counted = String::from_utf8_lossy(&counted).into_owned();
            let right = counted == expected && applied.is_empty() == (original == expected);
            (!right).then(|| format!("{original}: {counted} ({applied}), not {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows().count() >= 80);
}

#[test]
fn going_over_the_corpus_again_changes_nothing() {
    for (_, normalised) in rows() {
        let (again, applied) = sender(Normalisation::ALL, normalised.as_bytes());
        assert_eq!(
            (String::from_utf8_lossy(&again).as_ref(), applied),
            (normalised, Reductions::NONE)
        );
    }
}

#[test]
fn the_reductions_made_are_named() {
    for (original, words) in [
        ("alice@example.net", ""),
        ("Alice@example.net", "spelling"),
        ("alice@example.net.", "spelling"),
        ("\"alice\"@example.net", "spelling"),
        ("alice+news@example.net", "extension"),
        ("bounce-1@example.net", "verp"),
        ("srs0=k=7=example.org=alice@example.net", "srs"),
        ("srs0=#=#=example.org=alice@example.net", ""),
        ("prvs=0123abcdef=alice@example.net", "batv"),
        ("SRS0=k=7=example.org=prvs=0123abcdef=a+b@example.net", "spelling, extension, srs, batv"),
    ] {
        assert_eq!(
            sender(Normalisation::ALL, original.as_bytes()).1.to_string(),
            words,
            "{original}"
        );
    }
}

#[test]
fn a_shape_whose_switch_is_off_is_left_alone_by_the_other_switches() {
    const ON: Normalisation = Normalisation::ALL;
    let no_case = Normalisation { fold_case: false, ..ON };
    let no_extension = Normalisation { strip_extension: false, ..ON };
    let no_verp = Normalisation { reduce_verp: false, ..ON };
    let no_srs = Normalisation { reduce_srs: false, ..ON };
    let no_batv = Normalisation { reduce_batv: false, ..ON };
    for (switches, original, expected) in [
        (no_case, "Alice+News@Example.NET.", "Alice@Example.NET."),
        (
            no_case,
            "SRS0=k3Xz=7T=Example.NET=Alice@example.com",
            "SRS0=#=#=Example.NET=Alice@example.com",
        ),
        (no_case, "PRVS=0123ABCDEF=Alice@example.net", "Alice@example.net"),
        (no_case, "Bounce-12@example.net", "Bounce-#@example.net"),
        (no_case, "Bounce-12@Bounces.Example.NET.", "Bounce-#@Bounces.Example.NET."),
        (no_case, "\"alice+news\"@example.net", "\"alice+news\"@example.net"),
        (no_extension, "alice+news@example.net", "alice+news@example.net"),
        (no_extension, "list-bounces+bob=example.org@example.net", "list-bounces+#@example.net"),
        (no_extension, "list+bncBAABBXYZ7Q2TKGRB2@example.net", "list+bnc#@example.net"),
        (no_extension, "list+bncshort@example.net", "list+bncshort@example.net"),
        (
            no_verp,
            "bounce-123-bob=example.org@example.net",
            "bounce-123-bob=example.org@example.net",
        ),
        (
            no_verp,
            "bounces+123-abcd-bob=example.org@example.net",
            "bounces+123-abcd-bob=example.org@example.net",
        ),
        (no_verp, "list-bounces+bob=example.org@example.net", "list-bounces@example.net"),
        (
            no_srs,
            "SRS0=k3Xz=7T=example.net=a+b@example.com",
            "srs0=k3xz=7t=example.net=a+b@example.com",
        ),
        (
            no_srs,
            "SRS0+k3Xz=7T=example.net=a@example.com",
            "srs0+k3xz=7t=example.net=a@example.com",
        ),
        (
            no_srs,
            "bob+SRS=k3Xz4=7T=example.net=a@example.com",
            "bob+srs=k3xz4=7t=example.net=a@example.com",
        ),
        (no_batv, "prvs=0123abcdef=a+b@example.net", "prvs=0123abcdef=a+b@example.net"),
        (no_batv, "prvs=a/0123abcdef@bounces.example.net", "prvs=a/0123abcdef@bounces.example.net"),
    ] {
        let (counted, _) = sender(switches, original.as_bytes());
        assert_eq!(String::from_utf8_lossy(&counted), expected, "{original}");
    }
}

#[test]
fn a_recipient_loses_its_spelling_and_its_extension_and_nothing_else() {
    for (original, expected, words) in [
        ("Bob@Example.ORG.", "bob@example.org", "spelling"),
        ("bob+news@example.org", "bob@example.org", "extension"),
        ("\"bob+news\"@example.org", "bob@example.org", "spelling, extension"),
        ("\"bob\\+news\"@example.org", "\"bob\\+news\"@example.org", ""),
        ("+bob@example.org", "+bob@example.org", ""),
        ("bounces+123-bob=example.net@example.org", "bounces@example.org", "extension"),
        ("bounce-123-bob=example.net@example.org", "bounce-123-bob=example.net@example.org", ""),
        ("prvs=0123abcdef=bob@example.org", "prvs=0123abcdef=bob@example.org", ""),
        ("srs0+k=7=example.net=bob@example.org", "srs0+k=7=example.net=bob@example.org", ""),
        ("postmaster", "postmaster", ""),
        ("", "", ""),
    ] {
        let (counted, applied) = recipient(Normalisation::ALL, original.as_bytes());
        let counted = String::from_utf8_lossy(&counted).into_owned();
        assert_eq!(
            (counted.as_str(), applied.to_string().as_str()),
            (expected, words),
            "{original}"
        );
    }
}

/// Would take minutes if anything were quadratic, and overflow the stack if anything were recursive.
#[test]
fn very_long_addresses_are_no_trouble() {
    for pattern in [
        "a",
        "+",
        "@",
        "\"",
        ".",
        "-",
        "=",
        "#",
        "a=",
        "1-",
        "a.",
        "\\\"",
        "é",
        "bounce",
        "bounce-",
        "bounces+",
        "owner-",
        "+bnc",
        "+bncABCDEFGHI",
        "a=b.example",
        "a=b.example-",
        "msprvs1=",
        "SRS0=k=7=example.net=",
        "SRS1=p=example.com==k=7=example.net=",
        "a+SRS=k=7=example.net=",
        "prvs=0123abcdef=",
        "/0123abcdef",
        "btv1==0123abcdef==",
        "01234567-89ab-cdef-",
        "news-4711-",
        "prvs=0123abcdef=\"",
    ] {
        for (before, after) in [
            ("", ""),
            ("", "+x=y.example@bounces.example.net"),
            ("bounce-", "@example.net"),
            ("news-123-a=b.example", "@example.net"),
            ("alice@", ".example"),
            ("\"", "\"@example.net"),
            ("SRS0=k=7=example.net=", "+SRS=@example.net"),
        ] {
            let long = [before, &pattern.repeat(100_000 / pattern.len()), after].concat();
            let (counted, _) = sender(Normalisation::ALL, long.as_bytes());
            assert!(counted.len() <= long.len(), "{pattern}");
            recipient(Normalisation::ALL, long.as_bytes());
        }
    }
}

/// Addresses made of the pieces that the reductions look for, so that shapes and near misses of
/// them, nested and broken ones, come up often.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 67] = [
        "a",
        "alice",
        "Bob",
        "cafe",
        "b1",
        "news2024",
        "us12345",
        "8a3f",
        "a1b2c3d4e5f6",
        "1",
        "57",
        "4711",
        "12345",
        "20261101",
        "0123abcdef",
        "deadbeef99",
        "0102018f3a4b5c6d",
        "000000",
        "1a2b3c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d",
        "bounce",
        "Bounces",
        "bounce12",
        "return",
        "verp",
        "owner-",
        "list",
        "bounces+",
        "+bnc",
        "+bncABCDEFGH12",
        "msprvs1=",
        "17827qA5eaLxK",
        "prvs=",
        "PRVS=0123abcdef=",
        "=0123abcdef",
        "/0123abcdef",
        "btv1==",
        "btv1==0123abcdef==",
        "SRS0=",
        "SRS0+",
        "SRS1-",
        "SRS0=k3Xz=7T=",
        "SRS1=pQ4r=example.com==",
        "+SRS=",
        "+SRS=k3=7T",
        "=",
        "==",
        "+",
        "-",
        "_",
        ".",
        "/",
        "#",
        "\"",
        "\"",
        "\\",
        "@",
        "@",
        "@",
        "bounces.example.net",
        "example.org",
        "bob=example.org",
        "x=",
        "example",
        "xn--p1ai",
        ".com",
        "é",
        "\0",
    ];
    let piece = prop_oneof![
        20 => (0..PIECES.len()).prop_map(|index| PIECES[index].as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn switches() -> impl Strategy<Value = Normalisation> {
    let mixed = any::<[bool; 5]>().prop_map(
        |[fold_case, strip_extension, reduce_verp, reduce_srs, reduce_batv]| Normalisation {
            fold_case,
            strip_extension,
            reduce_verp,
            reduce_srs,
            reduce_batv,
        },
    );
    prop_oneof![Just(Normalisation::ALL), mixed]
}

fn key(identity: &Identity, client: &str, sender: &[u8], recipient: &[u8]) -> u128 {
    let client = Client::new(client.parse().unwrap());
    identity.key(&KEY, &Query::new(client, sender, recipient), &mut Vec::new()).0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    #[test]
    fn normalising_what_is_normalised_changes_nothing(address in pieces(), switches in switches()) {
        let (once, _) = sender(switches, &address);
        prop_assert_eq!(sender(switches, &once), (once.clone(), Reductions::NONE));
        let (once, _) = recipient(switches, &address);
        prop_assert_eq!(recipient(switches, &once), (once.clone(), Reductions::NONE));
    }

    #[test]
    fn a_reduction_is_named_exactly_when_something_changed(
        address in pieces(),
        switches in switches(),
    ) {
        let (counted, applied) = sender(switches, &address);
        prop_assert_eq!(applied.is_empty(), counted == address);
        prop_assert!(counted.len() <= address.len());
        for (reduction, switch) in [
            (Reduction::Spelling, switches.fold_case),
            (Reduction::Extension, switches.strip_extension),
            (Reduction::Verp, switches.reduce_verp),
            (Reduction::Srs, switches.reduce_srs),
            (Reduction::Batv, switches.reduce_batv),
        ] {
            prop_assert!(switch || !applied.contains(reduction), "{reduction:?}");
        }
    }

    #[test]
    fn any_bytes_count_as_something_and_as_themselves_with_all_switches_off(
        address in prop_oneof![pieces(), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        let unchanged = (address.clone(), Reductions::NONE);
        prop_assert_eq!(sender(Normalisation::NONE, &address), unchanged.clone());
        prop_assert_eq!(recipient(Normalisation::NONE, &address), unchanged);
        let (once, _) = sender(Normalisation::ALL, &address);
        prop_assert_eq!(sender(Normalisation::ALL, &once).0, once);
    }

    #[test]
    fn what_was_in_the_buffer_stays(address in pieces(), before in prop::collection::vec(any::<u8>(), 0..9)) {
        let identity = Identity::DEFAULT;
        let mut out = before.clone();
        identity.normalise_sender(&address, &mut out);
        prop_assert_eq!(&out[..before.len()], &before[..]);
        prop_assert_eq!(&out[before.len()..], &sender(Normalisation::ALL, &address).0[..]);
    }

    #[test]
    fn two_peoples_names_never_become_one(
        one in "[a-z][a-z0-9]{0,9}([.-][a-z0-9]{1,8}){0,2}",
        other in "[a-z][a-z0-9]{0,9}([.-][a-z0-9]{1,8}){0,2}",
        digit in "[0-9]",
    ) {
        let at = |local: &str| sender(Normalisation::ALL, format!("{local}@example.net").as_bytes()).0;
        prop_assert_eq!(at(&one) == at(&other), one == other);
        prop_assert_ne!(at(&format!("{one}{digit}")), at(&one));
    }

    #[test]
    fn keys_are_equal_exactly_when_the_normal_forms_are(
        senders in [pieces(), pieces()],
        recipients in [pieces(), pieces()],
        same in any::<[bool; 2]>(),
        switches in switches(),
    ) {
        let senders = if same[0] { [senders[0].clone(), senders[0].to_ascii_uppercase()] } else { senders };
        let recipients =
            if same[1] { [recipients[0].clone(), recipients[0].to_ascii_uppercase()] } else { recipients };
        let identity = identity(switches);
        let keys = [0, 1].map(|index| key(&identity, "192.0.2.7", &senders[index], &recipients[index]));
        let forms = [0, 1].map(|index| {
            (sender(switches, &senders[index]).0, recipient(switches, &recipients[index]).0)
        });
        prop_assert_eq!(keys[0] == keys[1], forms[0] == forms[1]);
    }
}
