//! Every key that a configuration may have: what a misspelt one is compared with, and what
//! `docs/configuration.md` is checked against.

/// One table of the configuration, with its keys in the order of the reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// As it is written in a file: `[identity]`; empty for the top level.
    pub(super) header: &'static str,
    pub(super) keys: &'static [&'static str],
}

impl Section {
    /// The section's name within a sentence.
    pub(super) fn named(&self) -> String {
        match self.header {
            "" => "the top level".into(),
            header => format!("`{header}`"),
        }
    }
}

pub(super) const TOP: Section = Section {
    header: "",
    keys: &[
        "profile",
        "embargo",
        "window",
        "lifetime",
        "mode",
        "memory",
        "exempt_local",
        "exempt_authenticated",
        "exempt_certificates",
        "exempt_recipients",
        "listen",
        "identity",
        "rules",
        "reply",
        "limits",
        "log",
    ],
};

pub(super) const LISTEN: Section =
    Section { header: "[[listen]]", keys: &["protocol", "address", "allow", "mode", "owner"] };

pub(super) const IDENTITY: Section = Section {
    header: "[identity]",
    keys: &[
        "client_prefix_v4",
        "client_prefix_v6",
        "fold_case",
        "strip_extension",
        "reduce_verp",
        "reduce_srs",
        "reduce_batv",
    ],
};

pub(super) const RULES: Section = Section {
    header: "[rules]",
    keys: &[
        "directories",
        "opt_out",
        "opt_in",
        "client",
        "client_name",
        "sender",
        "sender_domain",
        "recipient",
        "recipient_domain",
        "file",
    ],
};

/// The tables within `[rules]` that are lists, in the order in which they are asked.
pub(super) const RULES_LISTS: [&str; 6] =
    ["client", "client_name", "sender", "sender_domain", "recipient", "recipient_domain"];

/// `[rules.client]` and its five sisters.
pub(super) const RULES_LIST: Section =
    Section { header: "[rules.client]", keys: &["default", "accept", "reject", "greylist"] };

pub(super) const RULES_FILE: Section =
    Section { header: "[[rules.file]]", keys: &["path", "format", "list", "verdict"] };

pub(super) const REPLY: Section = Section {
    header: "[reply]",
    keys: &[
        "defer_code",
        "defer_enhanced",
        "defer_text",
        "reject_code",
        "reject_enhanced",
        "reject_text",
        "header",
        "help_url",
    ],
};

pub(super) const LIMITS: Section = Section {
    header: "[limits]",
    keys: &[
        "threads",
        "connections",
        "request_bytes",
        "request_timeout",
        "idle_timeout",
        "drain_timeout",
    ],
};

pub(super) const LOG: Section = Section {
    header: "[log]",
    keys: &["level", "levels", "format", "decisions", "decision_file"],
};

/// All of them.
pub(super) const SECTIONS: [&Section; 9] =
    [&TOP, &LISTEN, &IDENTITY, &RULES, &RULES_LIST, &RULES_FILE, &REPLY, &LIMITS, &LOG];

/// What other greylisters call our keys: theirs, ours, whose word it is.
const FOREIGN: [(&str, &str, &str); 18] = [
    ("delay", "embargo", "postgrey"),
    ("retry_window", "window", "postgrey"),
    ("max_age", "lifetime", "postgrey"),
    ("reconnect_delay", "embargo", "sqlgrey"),
    ("max_connect_age", "window", "sqlgrey"),
    ("awl_age", "lifetime", "sqlgrey"),
    ("passtime", "embargo", "spamd"),
    ("greyexp", "window", "spamd"),
    ("whiteexp", "lifetime", "spamd"),
    ("retrymin", "embargo", "greylistd"),
    ("retrymax", "window", "greylistd"),
    ("expire", "lifetime", "greylistd"),
    ("grey_timeout", "window", "X-Grey"),
    ("white_timeout", "lifetime", "X-Grey"),
    ("autowhite", "lifetime", "milter-greylist"),
    ("lookup_by_subnet", "client_prefix_v4", "postgrey"),
    ("subnetmatch", "client_prefix_v4", "milter-greylist"),
    ("greymethod", "client_prefix_v4", "sqlgrey"),
];

/// Our key for another greylister's, and whose word it is.
pub(super) fn foreign(written: &str) -> Option<(&'static str, &'static str)> {
    let written = written.to_ascii_lowercase().replace('-', "_");
    FOREIGN.iter().find(|(theirs, ..)| *theirs == written).map(|&(_, ours, whose)| (ours, whose))
}
