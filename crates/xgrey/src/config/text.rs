//! A configuration as it is written: every value of its type, with the place where it stands;
//! `None` for what is not given, or was noted as being of another type. What the values mean is
//! not looked at here.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::keys;
use super::reader::{Notes, TableReader, Word, Words};

/// A size.
pub(super) type Amount = Spanned<String>;
/// A whole number.
pub(super) type Number = Spanned<i64>;

/// The whole file.
#[derive(Default)]
pub(super) struct ConfigText<'a> {
    pub(super) profile: Option<Word<'a>>,
    pub(super) embargo: Option<Word<'a>>,
    pub(super) window: Option<Word<'a>>,
    pub(super) lifetime: Option<Word<'a>>,
    pub(super) mode: Option<Word<'a>>,
    pub(super) memory: Option<Amount>,
    pub(super) capacity: Option<Number>,
    pub(super) exempt_local: Option<bool>,
    pub(super) exempt_authenticated: Option<bool>,
    pub(super) exempt_certificates: Option<bool>,
    pub(super) exempt_recipients: Option<Words<'a>>,
    pub(super) listen: Option<Spanned<Vec<ListenText<'a>>>>,
    pub(super) identity: IdentityText,
    pub(super) rules: RulesText<'a>,
    pub(super) store: StoreText<'a>,
    pub(super) reply: ReplyText<'a>,
    pub(super) limits: LimitsText<'a>,
    pub(super) log: LogText<'a>,
}

/// One `[[listen]]`.
pub(super) struct ListenText<'a> {
    pub(super) header: Range<usize>,
    /// Where to say that there is no `address`, if there is none: not every protocol needs one.
    pub(super) lacks_address: Option<Range<usize>>,
    pub(super) protocol: Option<Word<'a>>,
    pub(super) address: Option<Word<'a>>,
    pub(super) allow: Option<Words<'a>>,
    pub(super) mode: Option<Word<'a>>,
    pub(super) owner: Option<Word<'a>>,
    pub(super) secret: Option<Word<'a>>,
    pub(super) changes: Option<Word<'a>>,
    pub(super) token_file: Option<Word<'a>>,
}

/// `[identity]`.
#[derive(Default)]
pub(super) struct IdentityText {
    pub(super) client_prefix_v4: Option<Number>,
    pub(super) client_prefix_v6: Option<Number>,
    pub(super) fold_case: Option<bool>,
    pub(super) strip_extension: Option<bool>,
    pub(super) reduce_verp: Option<bool>,
    pub(super) reduce_srs: Option<bool>,
    pub(super) reduce_batv: Option<bool>,
}

/// `[rules]`.
#[derive(Default)]
pub(super) struct RulesText<'a> {
    pub(super) directories: Option<Words<'a>>,
    pub(super) opt_out: Option<Words<'a>>,
    pub(super) opt_in: Option<Words<'a>>,
    /// In the order of [`keys::RULES_LISTS`].
    pub(super) lists: [ListText<'a>; 6],
    pub(super) files: Vec<ListFileText<'a>>,
}

/// `[rules.client]` and its sisters.
#[derive(Default)]
pub(super) struct ListText<'a> {
    pub(super) default: Option<Word<'a>>,
    pub(super) accept: Option<Words<'a>>,
    pub(super) reject: Option<Words<'a>>,
    pub(super) greylist: Option<Words<'a>>,
}

/// One `[[rules.file]]`.
pub(super) struct ListFileText<'a> {
    pub(super) header: Range<usize>,
    pub(super) path: Option<Word<'a>>,
    pub(super) format: Option<Word<'a>>,
    pub(super) list: Option<Word<'a>>,
    pub(super) verdict: Option<Word<'a>>,
}

/// `[reply]`.
#[derive(Default)]
pub(super) struct ReplyText<'a> {
    pub(super) defer_code: Option<Number>,
    pub(super) defer_enhanced: Option<Word<'a>>,
    pub(super) defer_text: Option<Word<'a>>,
    pub(super) reject_code: Option<Number>,
    pub(super) reject_enhanced: Option<Word<'a>>,
    pub(super) reject_text: Option<Word<'a>>,
    pub(super) header: Option<Word<'a>>,
    pub(super) help_url: Option<Word<'a>>,
}

/// `[store]`.
#[derive(Default)]
pub(super) struct StoreText<'a> {
    pub(super) journal: Option<bool>,
    pub(super) sync: Option<Word<'a>>,
    pub(super) segment_bytes: Option<Amount>,
    pub(super) snapshot_after: Option<Amount>,
    pub(super) keep_text: Option<bool>,
    pub(super) text_bytes: Option<Amount>,
}

/// `[limits]`.
#[derive(Default)]
pub(super) struct LimitsText<'a> {
    pub(super) threads: Option<Number>,
    pub(super) connections: Option<Number>,
    pub(super) request_bytes: Option<Amount>,
    pub(super) request_timeout: Option<Word<'a>>,
    pub(super) idle_timeout: Option<Word<'a>>,
    pub(super) drain_timeout: Option<Word<'a>>,
}

/// `[log]`.
#[derive(Default)]
pub(super) struct LogText<'a> {
    pub(super) level: Option<Word<'a>>,
    pub(super) levels: Vec<(Word<'a>, Word<'a>)>,
    pub(super) format: Option<Word<'a>>,
    pub(super) decisions: Option<bool>,
    pub(super) decision_file: Option<Word<'a>>,
}

impl<'a> ConfigText<'a> {
    /// Reads the top level and everything below.
    pub(super) fn read(table: &'a DeTable<'_>, notes: &mut Notes<'_>) -> Self {
        let top = TableReader::new(&keys::TOP, table, 0..0);
        top.finish(notes);
        Self {
            profile: top.text(notes, "profile"),
            embargo: top.time(notes, "embargo"),
            window: top.time(notes, "window"),
            lifetime: top.time(notes, "lifetime"),
            mode: top.text(notes, "mode"),
            memory: top.size(notes, "memory"),
            capacity: top.number(notes, "capacity"),
            exempt_local: top.switch(notes, "exempt_local"),
            exempt_authenticated: top.switch(notes, "exempt_authenticated"),
            exempt_certificates: top.switch(notes, "exempt_certificates"),
            exempt_recipients: top.texts(notes, "exempt_recipients"),
            listen: top.tables(notes, "listen", &keys::LISTEN).map(|listeners| {
                let read = |table: &TableReader<'a, '_>| ListenText::read(table, notes);
                let texts = listeners.get_ref().iter().map(read).collect();
                Spanned::new(listeners.span(), texts)
            }),
            identity: top
                .table(notes, "identity", &keys::IDENTITY)
                .map(|table| IdentityText::read(&table, notes))
                .unwrap_or_default(),
            rules: top
                .table(notes, "rules", &keys::RULES)
                .map(|table| RulesText::read(&table, notes))
                .unwrap_or_default(),
            store: top
                .table(notes, "store", &keys::STORE)
                .map(|table| StoreText::read(&table, notes))
                .unwrap_or_default(),
            reply: top
                .table(notes, "reply", &keys::REPLY)
                .map(|table| ReplyText::read(&table, notes))
                .unwrap_or_default(),
            limits: top
                .table(notes, "limits", &keys::LIMITS)
                .map(|table| LimitsText::read(&table, notes))
                .unwrap_or_default(),
            log: top
                .table(notes, "log", &keys::LOG)
                .map(|table| LogText::read(&table, notes))
                .unwrap_or_default(),
        }
    }
}

impl<'a> ListenText<'a> {
    fn read(table: &TableReader<'a, '_>, notes: &mut Notes<'_>) -> Self {
        table.finish(notes);
        Self {
            header: table.header(),
            lacks_address: table.lacks("address", notes),
            protocol: table.text(notes, "protocol"),
            address: table.text(notes, "address"),
            allow: table.texts(notes, "allow"),
            mode: table.text(notes, "mode"),
            owner: table.text(notes, "owner"),
            secret: table.text(notes, "secret"),
            changes: table.text(notes, "changes"),
            token_file: table.text(notes, "token_file"),
        }
    }
}

impl IdentityText {
    fn read(table: &TableReader<'_, '_>, notes: &mut Notes<'_>) -> Self {
        table.finish(notes);
        Self {
            client_prefix_v4: table.number(notes, "client_prefix_v4"),
            client_prefix_v6: table.number(notes, "client_prefix_v6"),
            fold_case: table.switch(notes, "fold_case"),
            strip_extension: table.switch(notes, "strip_extension"),
            reduce_verp: table.switch(notes, "reduce_verp"),
            reduce_srs: table.switch(notes, "reduce_srs"),
            reduce_batv: table.switch(notes, "reduce_batv"),
        }
    }
}

impl<'a> RulesText<'a> {
    fn read(table: &TableReader<'a, '_>, notes: &mut Notes<'_>) -> Self {
        table.finish(notes);
        let lists = keys::RULES_LISTS.map(|key| {
            let list = table.table(notes, key, &keys::RULES_LIST);
            list.map(|list| ListText::read(&list, notes)).unwrap_or_default()
        });
        let files = table.tables(notes, "file", &keys::RULES_FILE);
        let read = |file: &TableReader<'a, '_>| ListFileText::read(file, notes);
        Self {
            files: files.iter().flat_map(Spanned::get_ref).map(read).collect(),
            lists,
            directories: table.texts(notes, "directories"),
            opt_out: table.texts(notes, "opt_out"),
            opt_in: table.texts(notes, "opt_in"),
        }
    }
}

impl<'a> ListText<'a> {
    fn read(table: &TableReader<'a, '_>, notes: &mut Notes<'_>) -> Self {
        table.finish(notes);
        Self {
            default: table.text(notes, "default"),
            accept: table.texts(notes, "accept"),
            reject: table.texts(notes, "reject"),
            greylist: table.texts(notes, "greylist"),
        }
    }
}

impl<'a> ListFileText<'a> {
    fn read(table: &TableReader<'a, '_>, notes: &mut Notes<'_>) -> Self {
        table.finish(notes);
        Self {
            header: table.header(),
            path: table.required_text(notes, "path"),
            format: table.text(notes, "format"),
            list: table.text(notes, "list"),
            verdict: table.text(notes, "verdict"),
        }
    }
}

impl<'a> ReplyText<'a> {
    fn read(table: &TableReader<'a, '_>, notes: &mut Notes<'_>) -> Self {
        table.finish(notes);
        Self {
            defer_code: table.number(notes, "defer_code"),
            defer_enhanced: table.text(notes, "defer_enhanced"),
            defer_text: table.text(notes, "defer_text"),
            reject_code: table.number(notes, "reject_code"),
            reject_enhanced: table.text(notes, "reject_enhanced"),
            reject_text: table.text(notes, "reject_text"),
            header: table.text(notes, "header"),
            help_url: table.text(notes, "help_url"),
        }
    }
}

impl<'a> StoreText<'a> {
    fn read(table: &TableReader<'a, '_>, notes: &mut Notes<'_>) -> Self {
        table.finish(notes);
        Self {
            journal: table.switch(notes, "journal"),
            sync: table.text(notes, "sync"),
            segment_bytes: table.size(notes, "segment_bytes"),
            snapshot_after: table.size(notes, "snapshot_after"),
            keep_text: table.switch(notes, "keep_text"),
            text_bytes: table.size(notes, "text_bytes"),
        }
    }
}

impl<'a> LimitsText<'a> {
    fn read(table: &TableReader<'a, '_>, notes: &mut Notes<'_>) -> Self {
        table.finish(notes);
        Self {
            threads: table.number(notes, "threads"),
            connections: table.number(notes, "connections"),
            request_bytes: table.size(notes, "request_bytes"),
            request_timeout: table.time(notes, "request_timeout"),
            idle_timeout: table.time(notes, "idle_timeout"),
            drain_timeout: table.time(notes, "drain_timeout"),
        }
    }
}

impl<'a> LogText<'a> {
    fn read(table: &TableReader<'a, '_>, notes: &mut Notes<'_>) -> Self {
        table.finish(notes);
        Self {
            level: table.text(notes, "level"),
            levels: table.pairs(notes, "levels").unwrap_or_default(),
            format: table.text(notes, "format"),
            decisions: table.switch(notes, "decisions"),
            decision_file: table.text(notes, "decision_file"),
        }
    }
}
