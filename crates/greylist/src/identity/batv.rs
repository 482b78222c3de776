//! Bounce Address Tag Validation: a site signs the senders of its own mail, so that it knows the
//! bounces of it. The signature holds the day, hence changes.
//!
//! `prvs=TAG=local` is the draft's (draft-levine-smtp-batv); `prvs=local/TAG` and `prvs=local=TAG`
//! are older orders still in use, and `btv1==TAG==local` is one vendor's. The draft's tag is one
//! digit for the key, three for the day, six hexadecimal ones of hash; some programs write others.

/// A tag as some programs write it, in bytes: 9 and 11 have been seen beside the draft's 10.
const TAG_BYTES_MIN: usize = 8;
const TAG_BYTES_MAX: usize = 13;

/// The local part that was signed, if `local` is a signed one. Looks at a bounded number of bytes.
pub(super) fn unsigned(local: &[u8]) -> Option<&[u8]> {
    let plain = if let Some(rest) = after(local, b"prvs=") {
        let first = before_separator(rest, b"=");
        let last = after_separator(rest, b"=/");
        // `prvs=deadbeef99=0123abcdef` is somebody whose name looks like a tag: the stricter
        // pattern decides before the looser one.
        [is_drafts_tag, is_tag].into_iter().find_map(|is_tag| {
            let leading = first.filter(|(tag, _)| is_tag(tag)).map(|(_, plain)| plain);
            leading.or(last.filter(|(_, tag)| is_tag(tag)).map(|(plain, _)| plain))
        })
    } else {
        let (tag, rest) = before_separator(after(local, b"btv1==")?, b"=")?;
        rest.strip_prefix(b"=").filter(|_| is_tag(tag))
    };
    plain.filter(|plain| !plain.is_empty())
}

/// What follows `prefix`, in whatever case.
fn after<'a>(local: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = local.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// What stands before and after the first of `separators`, if that comes soon enough.
fn before_separator<'a>(rest: &'a [u8], separators: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let near = &rest[..rest.len().min(TAG_BYTES_MAX + 1)];
    let at = near.iter().position(|byte| separators.contains(byte))?;
    Some((&rest[..at], &rest[at + 1..]))
}

/// What stands before and after the last of `separators`, if that comes late enough.
fn after_separator<'a>(rest: &'a [u8], separators: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let near_at = rest.len().saturating_sub(TAG_BYTES_MAX + 1);
    let at = near_at + rest[near_at..].iter().rposition(|byte| separators.contains(byte))?;
    Some((&rest[..at], &rest[at + 1..]))
}

fn is_drafts_tag(tag: &[u8]) -> bool {
    tag.len() == 10 && is_tag(tag) && tag[..4].iter().all(u8::is_ascii_digit)
}

fn is_tag(tag: &[u8]) -> bool {
    (TAG_BYTES_MIN..=TAG_BYTES_MAX).contains(&tag.len())
        && tag.iter().all(u8::is_ascii_hexdigit)
        && tag.iter().filter(|byte| byte.is_ascii_digit()).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_goes_in_each_order_and_only_where_there_is_one() {
        for (local, plain) in [
            ("prvs=0123abcdef=alice", Some("alice")),
            ("PRVS=0123ABCDEF=alice", Some("alice")),
            ("prvs=0123abcdef=alice=example.org", Some("alice=example.org")),
            ("prvs=alice/0123abcdef", Some("alice")),
            ("prvs=alice=0123abcdef", Some("alice")),
            ("prvs=1234a56b7=alice", Some("alice")),
            ("prvs=deadbeef99=0123abcdef", Some("deadbeef99")),
            ("prvs=0123abcdef=deadbeef99", Some("deadbeef99")),
            ("btv1==0123abcdef0==alice", Some("alice")),
            ("prvs=alice", None),
            ("prvs=alice=bob", None),
            ("prvs=0123abcdef=", None),
            ("prvs=/0123abcdef", None),
            ("prvs=0123abcdefg=alice", None),
            ("prvs=defaced=alice", None),
            ("btv1==0123abcdef0=alice", None),
            ("prvs=", None),
            ("alice/0123abcdef", None),
        ] {
            assert_eq!(unsigned(local.as_bytes()), plain.map(str::as_bytes), "{local}");
        }
    }
}
