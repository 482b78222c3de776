//! Bounce addresses: lists and bulk mailers put the recipient and the message's number into the
//! sender (variable envelope return paths), so that they know what bounced and for whom.
//!
//! There is no standard, so this looks for signs: a bounce word, numbers and codes, somebody's
//! address with `=` for its `@`. A local part is read as *tokens* (letters and digits) with anything
//! else between. In the part that a bounce word has announced, the *payload*, more is taken for a
//! code than before it, where a list's name stands.
//!
//! What is taken out leaves a `#`, which is no token: going over a result again changes nothing.

use super::extension;

/// Words that only bounce addresses have.
const BOUNCE_WORDS: [&[u8]; 5] = [b"bounce", b"bounces", b"return", b"returns", b"verp"];
/// Of these, what numbers are written onto: `bounce4711`.
const NUMBERED_WORDS: [&[u8]; 2] = [b"bounces", b"bounce"];
/// Labels of subdomains where nobody lives but bounces; numbers may be written onto them.
const BOUNCE_LABELS: [&[u8]; 4] = [b"bounces", b"bounce", b"verp", b"bnc"];

/// `bounces+…`: the payload follows the `+` and is all that there is; a plain extension would say
/// less than the rest of the address does.
pub(super) fn is_all_payload(local: &[u8]) -> bool {
    let word = extension(local).map(|plus| &local[..plus]);
    word.is_some_and(|word| NUMBERED_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)))
}

/// Appends `local` without what changes from message to message, and tells whether anything did.
/// `domain` is the one that it stands before.
pub(super) fn reduce(local: &[u8], domain: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    if is_code_of_ses(local) {
        out.push(b'#');
        return true;
    }
    let shape = Shape::of(local, domain);
    let mut at = signature(local);
    if shape == Shape::Ordinary && at == 0 && !local.contains(&b'+') {
        // Most people's: no sign of a bounce address, so no token is looked at again.
        out.extend_from_slice(local);
        return false;
    }
    if at > 0 {
        out.extend_from_slice(&local[..SIGNATURE_MARK.len()]);
        out.extend_from_slice(b"#=");
    }
    let mut id_before = false; // the last token went, or its number
    while at < local.len() {
        let rest = &local[at..];
        let Some(token) = token(rest) else {
            if at > 0 && is_code_of_group(rest) {
                out.extend_from_slice(&rest[..GROUP_MARK.len()]);
                out.push(b'#');
                break;
            }
            out.push(rest[0]);
            at += 1;
            continue;
        };
        let cut = shape.cut(local, at, id_before);
        out.extend_from_slice(&token[..cut.kept]);
        if cut.taken > 0 {
            out.push(b'#');
        }
        id_before = cut.taken > 0;
        at += cut.kept + cut.taken;
    }
    out[start..] != *local
}

/// What is done at one token: so many bytes stay, then so many become a `#`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    kept: usize,
    taken: usize,
}

/// What kind of bounce address a local part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// None.
    Ordinary,
    /// No bounce word, but somebody's address after a name: a number between is a message's.
    Addressed { name_at: usize, address_at: usize },
    /// A bounce word, or a domain that says the same; the payload begins at `payload_at`.
    Bounce { payload_at: usize, codes: Codes },
}

/// What may be a code in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codes {
    /// What cannot well be a word.
    Certain,
    /// After a number, letters too that happen to be hexadecimal: `bounces+12345-abcd-…`.
    AfterNumbers,
}

impl Shape {
    fn of(local: &[u8], domain: &[u8]) -> Self {
        let codes = if is_all_payload(local) { Codes::AfterNumbers } else { Codes::Certain };
        if is_bounce_domain(domain) {
            return Self::Bounce { payload_at: 0, codes };
        }
        let may_embed = local.contains(&b'=');
        let mut address_at = None;
        let mut at = 0;
        while at < local.len() {
            let Some(token) = token(&local[at..]) else {
                at += 1;
                continue;
            };
            if bounce_word(token).is_some() {
                return Self::Bounce { payload_at: at + token.len(), codes };
            }
            if may_embed && embedded_address(&local[at..]).is_some() {
                address_at = Some(at);
            }
            at += token.len();
        }
        let owner = local.get(..6).is_some_and(|head| head.eq_ignore_ascii_case(b"owner-"));
        match address_at {
            None => Self::Ordinary,
            Some(_) if owner => Self::Bounce { payload_at: 6, codes },
            Some(address_at) => {
                let name_at = local.iter().position(u8::is_ascii_alphabetic);
                Self::Addressed { name_at: name_at.unwrap_or(local.len()), address_at }
            }
        }
    }

    /// What is to be done at the token that begins at `at`.
    fn cut(self, local: &[u8], at: usize, id_before: bool) -> Cut {
        let rest = &local[at..];
        let token = token(rest).unwrap_or_default();
        let tally = Tally::of(token);
        match self {
            Self::Ordinary => Cut::nothing(token),
            Self::Addressed { name_at, address_at } => {
                let between = name_at < at && at < address_at;
                let number = tally.is_number() && tally.length >= 3;
                if between && number { Cut::first(token.len()) } else { Cut::nothing(token) }
            }
            Self::Bounce { payload_at, .. } if at < payload_at => {
                if let Some(word) = bounce_word(token) {
                    Cut::after(word, token)
                } else if let Some(length) = uuid(rest) {
                    Cut::first(length)
                } else if tally.is_long_code() {
                    Cut::first(token.len())
                } else {
                    Cut::nothing(token)
                }
            }
            Self::Bounce { codes, .. } => {
                if let Some(length) = embedded_address(rest).or_else(|| uuid(rest)) {
                    Cut::first(length)
                } else if tally.is_code()
                    || (codes == Codes::AfterNumbers && id_before && tally.hex && tally.length >= 4)
                {
                    Cut::first(token.len())
                } else if let Some(word) = bounce_word(token).or_else(|| tally.numbered_word()) {
                    Cut::after(word, token)
                } else {
                    Cut::nothing(token)
                }
            }
        }
    }
}

impl Cut {
    /// The token stays.
    const fn nothing(token: &[u8]) -> Self {
        Self { kept: token.len(), taken: 0 }
    }

    /// What begins at the token goes.
    const fn first(length: usize) -> Self {
        Self { kept: 0, taken: length }
    }

    /// The token goes, but for so many bytes.
    const fn after(kept: usize, token: &[u8]) -> Self {
        Self { kept, taken: token.len() - kept }
    }
}

/// What a token is made of.
#[derive(Clone, Copy, Debug)]
struct Tally {
    length: usize,
    digits: usize,
    /// How often a letter follows a digit or a digit a letter: once in `news2`, often in a code.
    changes: usize,
    /// Whether all are hexadecimal digits.
    hex: bool,
    digit_first: bool,
    ascii: bool,
}

impl Tally {
    fn of(token: &[u8]) -> Self {
        let changes = token.windows(2).filter(|pair| is_digit(pair[0]) != is_digit(pair[1]));
        Self {
            length: token.len(),
            digits: token.iter().filter(|byte| byte.is_ascii_digit()).count(),
            changes: changes.count(),
            hex: token.iter().all(u8::is_ascii_hexdigit),
            digit_first: token.first().is_some_and(u8::is_ascii_digit),
            ascii: token.is_ascii(),
        }
    }

    const fn is_number(self) -> bool {
        self.digits == self.length
    }

    /// A code of such length and mixture that it cannot be a word: no list is called `a1b2c3d4e5f6`.
    const fn is_long_mixture(self) -> bool {
        self.ascii && self.length >= 12 && self.changes >= 3
    }

    /// Whether it is a code where a list's name may stand: `2024` and `web2print` are none.
    const fn is_long_code(self) -> bool {
        (self.is_number() && self.length >= 5)
            || (self.hex && self.length >= 8 && self.changes >= 2)
            || self.is_long_mixture()
    }

    /// Whether it is a code where codes are expected: `57`, `8a3f`, `123abc`; but not `news2`.
    const fn is_code(self) -> bool {
        let mixed = self.changes >= 2 && self.length >= 4 && self.digits * 3 >= self.length;
        let marked = self.digit_first
            && self.changes == 1
            && (self.digits >= 5 || (self.hex && self.digits >= 3));
        self.is_number() || (self.ascii && (mixed || marked)) || self.is_long_mixture()
    }

    /// How long the word is that a number too long for a year is written onto: `us12345`.
    const fn numbered_word(self) -> Option<usize> {
        if self.changes == 1 && !self.digit_first && self.digits >= 5 {
            Some(self.length - self.digits)
        } else {
            None
        }
    }
}

const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// The token at the beginning of `rest`: ASCII letters and digits, and whatever is not ASCII.
fn token(rest: &[u8]) -> Option<&[u8]> {
    let outside = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric();
    let length = rest.iter().position(outside).unwrap_or(rest.len());
    (length > 0).then(|| &rest[..length])
}

/// How long the bounce word is that `token` is, apart from a number written onto it.
fn bounce_word(token: &[u8]) -> Option<usize> {
    // How all of them begin; most tokens don't.
    if !matches!(token.first()?, b'b' | b'B' | b'r' | b'R' | b'v' | b'V') {
        return None;
    }
    let whole = BOUNCE_WORDS.iter().any(|word| token.eq_ignore_ascii_case(word));
    if whole { Some(token.len()) } else { numbered(token, &NUMBERED_WORDS) }
}

/// The length of the one of `words` that `token` is, with or without a number behind it.
fn numbered(token: &[u8], words: &[&[u8]]) -> Option<usize> {
    words.iter().map(|word| word.len()).zip(words).find_map(|(length, word)| {
        let (head, number) = token.split_at_checked(length)?;
        let found = head.eq_ignore_ascii_case(word) && number.iter().all(u8::is_ascii_digit);
        found.then_some(length)
    })
}

/// Whether one of the labels is a bounce label, and at least two follow: `bounce.example` itself
/// may be somebody's.
fn is_bounce_domain(domain: &[u8]) -> bool {
    let end = domain.iter().rposition(|&byte| byte != b'.').map_or(0, |last| last + 1);
    let labels = || domain[..end].split(|&byte| byte == b'.');
    let subdomains = labels().count().saturating_sub(2);
    labels().take(subdomains).any(|label| {
        let begins = matches!(label.first(), Some(b'b' | b'B' | b'v' | b'V'));
        begins && numbered(label, &BOUNCE_LABELS).is_some()
    })
}

/// How long `word=domain` is that begins with the token at the beginning of `rest`. More than one
/// `=` may stand between, and a number may follow the domain after a hyphen.
fn embedded_address(rest: &[u8]) -> Option<usize> {
    let word = token(rest)?.len();
    let signs = rest[word..].iter().take_while(|&&byte| byte == b'=').count();
    if signs == 0 {
        return None;
    }
    let domain_at = word + signs;
    let in_domain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let domain_and_more = &rest[domain_at..];
    let end = domain_and_more.iter().position(|byte| !in_domain(byte));
    let cut_off =
        end.is_some_and(|end| domain_and_more[end] == b'#' || !domain_and_more[end].is_ascii());
    let run = &domain_and_more[..end.unwrap_or(domain_and_more.len())];

    let mut top_level_end = None;
    let mut label_at = 0;
    for (index, label) in run.split(|&byte| byte == b'.').enumerate() {
        let letters = label.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let last = label_at + label.len() == run.len();
        let ends = letters == label.len() && !(last && cut_off);
        let goes_on = label.get(letters) == Some(&b'-');
        if index > 0 && letters >= 2 && (ends || goes_on) {
            let punycode = label.len() >= 4 && label[..4].eq_ignore_ascii_case(b"xn--");
            top_level_end = Some(label_at + if punycode { label.len() } else { letters });
        }
        label_at += label.len() + 1;
    }
    top_level_end.filter(|_| run[0] != b'.').map(|end| domain_at + end)
}

/// The length of a UUID at the beginning of `rest`.
fn uuid(rest: &[u8]) -> Option<usize> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    const LENGTH: usize = 36;
    let mut at = 0;
    for (index, length) in GROUPS.into_iter().enumerate() {
        if index > 0 {
            (rest.get(at) == Some(&b'-')).then_some(())?;
            at += 1;
        }
        let group = rest.get(at..at + length)?;
        group.iter().all(u8::is_ascii_hexdigit).then_some(())?;
        at += length;
    }
    token(&rest[LENGTH..]).is_none().then_some(LENGTH)
}

/// Whether `local` is as Amazon SES makes them: a time and a number around a UUID.
fn is_code_of_ses(local: &[u8]) -> bool {
    const TIME: usize = 16;
    let Some((time, rest)) = local.split_at_checked(TIME) else { return false };
    let Some(rest) = rest.strip_prefix(b"-") else { return false };
    let Some(length) = uuid(rest) else { return false };
    let number = rest[length..].strip_prefix(b"-");
    time.iter().all(u8::is_ascii_hexdigit)
        && number.is_some_and(|number| number.len() == 6 && number.iter().all(u8::is_ascii_digit))
}

/// What a mail service for groups writes behind a group's name, before a code.
const GROUP_MARK: &[u8] = b"+bnc";

/// Whether `rest` is the mark and a code, to the end.
fn is_code_of_group(rest: &[u8]) -> bool {
    let in_code = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    rest.split_at_checked(GROUP_MARK.len()).is_some_and(|(mark, code)| {
        mark.eq_ignore_ascii_case(GROUP_MARK) && code.len() >= 8 && code.iter().all(in_code)
    })
}

/// What a bulk mailer's signature follows: `msprvs1=17827qA5eaLxK=bounces-226118-18`.
const SIGNATURE_MARK: &[u8] = b"msprvs1=";

/// How many bytes the mark, the signature (or a `#` in its place) and its `=` take; 0 if there is
/// none.
fn signature(local: &[u8]) -> usize {
    let Some((mark, rest)) = local.split_at_checked(SIGNATURE_MARK.len()) else { return 0 };
    let length = match token(rest) {
        Some(code) if (8..=32).contains(&code.len()) => code.len(),
        None if rest.starts_with(b"#") => 1,
        _ => return 0,
    };
    let signed = mark.eq_ignore_ascii_case(SIGNATURE_MARK) && rest.get(length) == Some(&b'=');
    if signed { mark.len() + length + 1 } else { 0 }
}
