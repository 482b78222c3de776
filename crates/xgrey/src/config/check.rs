//! From [`ConfigText`] to [`Config`]: what the values mean, and whether they fit together.

use std::path::{Path, PathBuf};

use greylist::identity::{Normalisation, PrefixV4, PrefixV6};
use greylist::timing::TimingError;
use greylist::{Identity, Secs, Timing};

use super::duration::{self, spoken};
use super::keys::Section;
use super::listener::Listeners;
use super::mistake::{Mistake, listed, nearest};
use super::reader::{Notes, Word};
use super::surroundings::Surroundings;
use super::text::{ConfigText, Number};
use super::{Config, Exempt, Mode, limits, listener, log, reply, rules, store};

/// Above this the embargo collides with how senders retry: many try again after 200 to 285 seconds,
/// and then not for hours.
const EMBARGO_UNDISPUTED_MAX: Secs = Secs::new(300);

/// What a profile sets.
#[derive(Debug)]
struct Profile {
    timing: Timing,
    identity: Identity,
    /// Where to listen unless the configuration says.
    listeners: fn() -> Listeners,
    /// Whether clients on this host are exempt, likewise.
    exempt_local: bool,
    /// Which recipients are, likewise.
    exempt_recipients: &'static [&'static str],
}

static PROFILES: [(&str, &Profile); 3] = [
    (
        "default",
        &Profile {
            timing: Timing::DEFAULT,
            identity: Identity::DEFAULT,
            listeners: Listeners::postfix,
            exempt_local: true,
            exempt_recipients: &rules::EXEMPT_RECIPIENTS,
        },
    ),
    (
        "x-grey",
        &Profile {
            timing: Timing::X_GREY,
            identity: Identity::EXACT,
            listeners: Listeners::postfix_and_x_grey,
            // As the original, which knows no exemptions.
            exempt_local: false,
            exempt_recipients: &[],
        },
    ),
    (
        "rfc6647",
        &Profile {
            timing: Timing::RFC6647,
            identity: Identity::DEFAULT,
            listeners: Listeners::postfix,
            exempt_local: true,
            exempt_recipients: &rules::EXEMPT_RECIPIENTS,
        },
    ),
];

const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

/// Checks everything. The result is to be used only if no error is noted.
pub(super) fn config(
    text: &ConfigText<'_>,
    notes: &mut Notes<'_>,
    path: &Path,
    surroundings: &dyn Surroundings,
) -> Config {
    let base = path.parent().unwrap_or(Path::new(""));
    let profile = one_of(notes, "profile", text.profile.as_ref(), &PROFILES);
    let profile = profile.unwrap_or(PROFILES[0].1);
    let listeners = listener::listeners(text, profile.listeners, notes, base, surroundings);
    Config {
        file: (!path.as_os_str().is_empty()).then(|| path.to_owned()),
        timing: timing(text, profile, notes),
        mode: one_of(notes, "mode", text.mode.as_ref(), &MODES).unwrap_or_default(),
        bound: store::table_bound(text, notes, surroundings),
        exempt: Exempt {
            local: text.exempt_local.unwrap_or(profile.exempt_local),
            authenticated: text.exempt_authenticated.unwrap_or(true),
            certificates: text.exempt_certificates.unwrap_or(true),
            recipients: rules::recipients(
                text.exempt_recipients.as_ref(),
                profile.exempt_recipients,
                notes,
            ),
        },
        listeners: listeners.streams,
        x_grey: listeners.x_grey,
        http: listeners.http,
        identity: identity(text, profile, notes),
        rules: rules::rules(&text.rules, notes, base, surroundings),
        store: store::store(&text.store, notes),
        replies: reply::replies(&text.reply, notes),
        limits: limits::limits(&text.limits, notes),
        log: log::log(&text.log, notes, base),
    }
}

fn timing(text: &ConfigText<'_>, profile: &Profile, notes: &mut Notes<'_>) -> Timing {
    let mut read = |key, word: &Option<Word<'_>>, default| {
        word.as_ref().map_or(Some(default), |word| time(key, word, notes))
    };
    let embargo = read("embargo", &text.embargo, profile.timing.embargo());
    let window = read("window", &text.window, profile.timing.window());
    let lifetime = read("lifetime", &text.lifetime, profile.timing.lifetime());
    if let (Some(word), Some(embargo)) = (&text.embargo, embargo)
        && embargo > EMBARGO_UNDISPUTED_MAX
    {
        notes
            .warning(
                word.span(),
                format!("an embargo of {} delays honest mail long", spoken(embargo)),
            )
            .label("many senders try again after 4 minutes, and then not for hours")
            .help("\"1m\" stops most of what any embargo stops; keep it at or below \"5m\"");
    }
    let (Some(embargo), Some(window), Some(lifetime)) = (embargo, window, lifetime) else {
        return profile.timing;
    };
    Timing::new(embargo, window, lifetime).unwrap_or_else(|error| {
        let at_least = || "use at least \"1s\"".to_owned();
        let (culprit, help) = match error {
            TimingError::Zero { name: "embargo" } => (&text.embargo, at_least()),
            TimingError::Zero { name: "window" } => (&text.window, at_least()),
            TimingError::Zero { .. } => (&text.lifetime, at_least()),
            TimingError::NoTimeToRetry { embargo, .. } => {
                let longer = duration::written(embargo.saturating_add(Secs::new(6 * 3600)));
                let help = format!("use a window of several hours, such as \"{longer}\"");
                (if text.window.is_some() { &text.window } else { &text.embargo }, help)
            }
        };
        let span = culprit.as_ref().map_or(0..0, toml::Spanned::span);
        notes.error(span, error.to_string()).help(help);
        profile.timing
    })
}

fn identity(text: &ConfigText<'_>, profile: &Profile, notes: &mut Notes<'_>) -> Identity {
    let text = &text.identity;
    let Identity { prefix_v4, prefix_v6, normalisation } = &profile.identity;
    let mut prefix = |key, number: &Option<Number>, range| {
        let bits = number.as_ref().and_then(|number| limits::number(key, number, &range, notes));
        bits.and_then(|bits| u8::try_from(bits).ok())
    };
    let v4 = prefix("client_prefix_v4", &text.client_prefix_v4, 8..=32);
    let v6 = prefix("client_prefix_v6", &text.client_prefix_v6, 16..=128);
    Identity {
        prefix_v4: v4.and_then(|bits| PrefixV4::new(bits).ok()).unwrap_or(*prefix_v4),
        prefix_v6: v6.and_then(|bits| PrefixV6::new(bits).ok()).unwrap_or(*prefix_v6),
        normalisation: Normalisation {
            fold_case: text.fold_case.unwrap_or(normalisation.fold_case),
            strip_extension: text.strip_extension.unwrap_or(normalisation.strip_extension),
            reduce_verp: text.reduce_verp.unwrap_or(normalisation.reduce_verp),
            reduce_srs: text.reduce_srs.unwrap_or(normalisation.reduce_srs),
            reduce_batv: text.reduce_batv.unwrap_or(normalisation.reduce_batv),
        },
    }
}

/// Reads a length of time.
pub(super) fn time(key: &'static str, word: &Word<'_>, notes: &mut Notes<'_>) -> Option<Secs> {
    let read = duration::parse(word.get_ref());
    read.map_err(|mistake| notes.mistake(key, word.span(), mistake)).ok()
}

/// Reads one of a few words. Neither case nor `-` for `_` matters; graylist is greylist.
pub(super) fn one_of<T: Copy>(
    notes: &mut Notes<'_>,
    key: &str,
    word: Option<&Word<'_>>,
    choices: &[(&str, T)],
) -> Option<T> {
    let word = word?;
    let fold = |word: &str| word.to_ascii_lowercase().replace('_', "-");
    let written = fold(word.get_ref()).replace("graylist", "greylist");
    let chosen = choices.iter().find(|(name, _)| fold(name) == written);
    if chosen.is_none() {
        let names = || choices.iter().map(|(name, _)| *name);
        let help = match nearest(word.get_ref(), names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("use {}", listed(names(), '"', "or")),
        };
        notes.mistake(key, word.span(), Mistake::new("not one of its values", help));
    }
    chosen.map(|(_, value)| *value)
}

/// Reads a path; a relative one starts from `base`.
pub(super) fn resolve(
    section: &Section,
    key: &'static str,
    word: &Word<'_>,
    notes: &mut Notes<'_>,
    base: &Path,
) -> Option<PathBuf> {
    let text = *word.get_ref();
    let what = match text {
        "" => "empty",
        _ if text.contains('\0') => "a path cannot contain a zero byte",
        _ => return Some(base.join(text)),
    };
    let help = format!("for example: {key} = {}", section.example(key));
    notes.mistake(key, word.span(), Mistake::new(what, help));
    None
}
