//! Every key that a configuration may have: what a misspelt one is compared with, and what
//! `docs/configuration.md` is checked against.

/// One table of the configuration, with its keys in the order of the reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// As it is written in a file: `[identity]`; empty for the top level.
    pub(super) header: &'static str,
    /// Each with an example of its value.
    pub(super) keys: &'static [(&'static str, &'static str)],
}

impl Section {
    /// Whether there is such a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(name, _)| *name == key)
    }

    /// The keys' names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|(name, _)| *name)
    }

    /// An example of the value of `key`.
    pub(super) fn example(&self, key: &str) -> &'static str {
        self.keys.iter().find(|(name, _)| *name == key).map_or("…", |(_, example)| example)
    }

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
        ("profile", r#""default""#),
        ("embargo", r#""1m""#),
        ("window", r#""6h""#),
        ("lifetime", r#""36d""#),
        ("mode", r#""observe""#),
        ("memory", r#""512MiB""#),
        ("capacity", "100_000_000"),
        ("exempt_local", "true"),
        ("exempt_authenticated", "true"),
        ("exempt_certificates", "true"),
        ("exempt_recipients", r#"["postmaster@", "abuse@"]"#),
        ("listen", r#"[{ address = "127.0.0.1:10023" }]"#),
        ("identity", "{ client_prefix_v4 = 24 }"),
        ("rules", r#"{ opt_out = ["example.org"] }"#),
        ("store", r#"{ sync = "1s" }"#),
        ("reply", "{ defer_code = 450 }"),
        ("limits", "{ connections = 4096 }"),
        ("log", r#"{ level = "info" }"#),
    ],
};

pub(super) const LISTEN: Section = Section {
    header: "[[listen]]",
    keys: &[
        ("protocol", r#""postfix""#),
        ("address", r#""127.0.0.1:10023""#),
        ("allow", r#"["192.0.2.0/24"]"#),
        ("mode", r#""0660""#),
        ("owner", r#""postfix""#),
        ("secret", r#""decafbad""#),
        ("changes", r#""local""#),
        ("token_file", r#""/etc/xgrey/http.token""#),
    ],
};

pub(super) const IDENTITY: Section = Section {
    header: "[identity]",
    keys: &[
        ("client_prefix_v4", "24"),
        ("client_prefix_v6", "64"),
        ("fold_case", "true"),
        ("strip_extension", "true"),
        ("reduce_verp", "true"),
        ("reduce_srs", "true"),
        ("reduce_batv", "true"),
    ],
};

pub(super) const RULES: Section = Section {
    header: "[rules]",
    keys: &[
        ("directories", r#"["/etc/xgrey/rules.d"]"#),
        ("opt_out", r#"["example.org"]"#),
        ("opt_in", r#"["example.org"]"#),
        ("client", r#"{ accept = ["192.0.2.0/24"] }"#),
        ("client_name", r#"{ accept = [".example.net"] }"#),
        ("sender", r#"{ accept = ["alice@example.net"] }"#),
        ("sender_domain", r#"{ accept = ["example.net"] }"#),
        ("recipient", r#"{ accept = ["bob@example.org"] }"#),
        ("recipient_domain", r#"{ accept = ["example.org"] }"#),
        ("file", r#"[{ path = "/etc/xgrey/local.rules" }]"#),
    ],
};

/// The tables within `[rules]` that are lists, in the order in which they are asked.
pub(super) const RULES_LISTS: [&str; 6] =
    ["client", "client_name", "sender", "sender_domain", "recipient", "recipient_domain"];

/// `[rules.client]` and its five sisters.
pub(super) const RULES_LIST: Section = Section {
    header: "[rules.client]",
    keys: &[
        ("default", r#""greylist""#),
        ("accept", r#"["…"]"#),
        ("reject", r#"["…"]"#),
        ("greylist", r#"["…"]"#),
    ],
};

pub(super) const RULES_FILE: Section = Section {
    header: "[[rules.file]]",
    keys: &[
        ("path", r#""/etc/xgrey/local.rules""#),
        ("format", r#""rules""#),
        ("list", r#""client""#),
        ("verdict", r#""accept""#),
    ],
};

pub(super) const STORE: Section = Section {
    header: "[store]",
    keys: &[
        ("journal", "true"),
        ("sync", r#""1s""#),
        ("segment_bytes", r#""64MiB""#),
        ("snapshot_after", r#""256MiB""#),
        ("keep_text", "true"),
        ("text_bytes", r#""1GiB""#),
    ],
};

pub(super) const REPLY: Section = Section {
    header: "[reply]",
    keys: &[
        ("defer_code", "450"),
        ("defer_enhanced", r#""4.7.1""#),
        ("defer_text", r#""Greylisted, try again in {wait}""#),
        ("reject_code", "550"),
        ("reject_enhanced", r#""5.7.1""#),
        ("reject_text", r#""Rejected by local policy""#),
        ("header", r#""delayed {wait} by xgrey""#),
        ("help_url", r#""https://example.org/greylisting""#),
    ],
};

pub(super) const LIMITS: Section = Section {
    header: "[limits]",
    keys: &[
        ("threads", "4"),
        ("connections", "4096"),
        ("request_bytes", r#""16KiB""#),
        ("request_timeout", r#""30s""#),
        ("idle_timeout", r#""15m""#),
        ("drain_timeout", r#""10s""#),
    ],
};

pub(super) const LOG: Section = Section {
    header: "[log]",
    keys: &[
        ("level", r#""info""#),
        ("levels", r#"{ listen = "debug" }"#),
        ("format", r#""json""#),
        ("decisions", "true"),
        ("decision_file", r#""/var/log/xgrey/decisions.log""#),
    ],
};

/// All of them.
pub(super) const SECTIONS: [&Section; 10] =
    [&TOP, &LISTEN, &IDENTITY, &RULES, &RULES_LIST, &RULES_FILE, &STORE, &REPLY, &LIMITS, &LOG];

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
