//! The rules: from directories, list files and the configuration itself, into one set.
//!
//! In this order: directories, files, lists in the configuration, opt-out, opt-in. Of two rules
//! with the same entry the later one counts, so what an admin writes in the configuration beats
//! what a package brought in a directory; that is said as a warning.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use greylist::rules::{List, Origin, Pattern, RuleSet, RuleSetBuilder, Verdict};

use super::Recipients;
use super::check::{one_of, resolve};
use super::keys::{self, RULES_LISTS};
use super::list_file::{self, Format};
use super::mistake::{Mistake, shown};
use super::reader::{Notes, Word, Words};
use super::report::{Finding, Place, Severity};
use super::surroundings::Surroundings;
use super::text::{ListFileText, ListText, RulesText};

/// What the names of rule files in a directory end in.
const RULES_SUFFIX: &str = ".rules";

/// Recipients exempt unless configured: RFC 5321, section 4.5.1, and RFC 2142 want them reachable.
pub(super) const EXEMPT_RECIPIENTS: [&str; 2] = ["postmaster@", "abuse@"];

const LISTS: [(&str, List); List::COUNT] = [
    ("client", List::Client),
    ("client_name", List::ClientName),
    ("sender", List::Sender),
    ("sender_domain", List::SenderDomain),
    ("recipient", List::Recipient),
    ("recipient_domain", List::RecipientDomain),
];

const VERDICTS: [(&str, Verdict); 3] =
    [("accept", Verdict::Accept), ("reject", Verdict::Reject), ("greylist", Verdict::Greylist)];

/// The mend where the machine does not let us read.
const READABLE: &str = "let the user that xgrey runs as read it: check its owner and mode";

/// A kind of list file, before it is known what a plain one's entries are for.
#[derive(Clone, Copy)]
enum FileKind {
    Rules,
    Plain,
    PostgreyClients,
    PostgreyRecipients,
}

const FILE_KINDS: [(&str, FileKind); 4] = [
    ("rules", FileKind::Rules),
    ("plain", FileKind::Plain),
    ("postgrey-clients", FileKind::PostgreyClients),
    ("postgrey-recipients", FileKind::PostgreyRecipients),
];

/// Checks `exempt_recipients`; without it, they are `unless_written`.
pub(super) fn recipients(
    words: Option<&Words<'_>>,
    unless_written: &[&str],
    notes: &mut Notes<'_>,
) -> Recipients {
    let mut builder = RuleSetBuilder::new();
    let source = builder.source("exempt_recipients");
    let mut add = |pattern| builder.add(Verdict::Accept, pattern, Origin { source, line: 0 });
    match words {
        Some(words) => {
            for word in words.get_ref() {
                pattern("exempt_recipients", List::Recipient, word, notes).map(&mut add);
            }
        }
        None => {
            for text in unless_written {
                Pattern::parse(List::Recipient, text).ok().map(&mut add);
            }
        }
    }
    Recipients(builder.build())
}

/// Checks `[rules]`; relative paths start from `base`.
pub(super) fn rules(
    text: &RulesText<'_>,
    notes: &mut Notes<'_>,
    base: &Path,
    surroundings: &dyn Surroundings,
) -> RuleSet {
    let mut gathering = Gathering { gathered: Gathered::new(), notes, base, surroundings };
    if let Some(directories) = &text.directories {
        gathering.directories(directories);
    }
    for file in &text.files {
        gathering.file(file);
    }
    gathering.inline(text);
    gathering.gathered.builder.build()
}

/// Rules so far, and where each source's name is.
pub(super) struct Gathered {
    builder: RuleSetBuilder,
    sources: Vec<Arc<str>>,
}

impl Gathered {
    fn new() -> Self {
        Self { builder: RuleSetBuilder::new(), sources: Vec::new() }
    }

    /// Begins a new source.
    fn source(&mut self, name: &Arc<str>) -> u32 {
        self.sources.push(Arc::clone(name));
        self.builder.source(name)
    }

    /// Adds a rule; says which one with the same entry it replaces, if it does.
    pub(super) fn add(
        &mut self,
        verdict: Verdict,
        pattern: Pattern,
        origin: Origin,
    ) -> Option<String> {
        let replaced = self.builder.add(verdict, pattern, origin)?;
        Some(self.named(replaced))
    }

    /// Sets a list's default; says which one it replaces, if it does.
    pub(super) fn set_default(
        &mut self,
        list: List,
        verdict: Verdict,
        origin: Origin,
    ) -> Option<String> {
        let replaced = self.builder.set_default(list, verdict, origin)?;
        Some(self.named(replaced))
    }

    /// `FILE:LINE`.
    fn named(&self, origin: Origin) -> String {
        let source = self.sources.get(origin.source as usize).map_or("built-in", |name| name);
        format!("{source}:{}", origin.line)
    }
}

/// The rules being gathered, with what is needed on the way.
struct Gathering<'g, 't> {
    gathered: Gathered,
    notes: &'g mut Notes<'t>,
    base: &'g Path,
    surroundings: &'g dyn Surroundings,
}

impl Gathering<'_, '_> {
    /// Reads all rule files of the directories, by name. A file in a later directory stands in for
    /// one of the same name in an earlier, so that local files survive a package's update.
    fn directories(&mut self, directories: &Words<'_>) {
        let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for word in directories.get_ref() {
            let Some(path) = resolve(&keys::RULES, "directories", word, self.notes, self.base)
            else {
                continue;
            };
            match self.surroundings.names_in(&path) {
                Ok(names) => files.extend(names.into_iter().filter(is_rules_file).map(|name| {
                    let file = path.join(&name);
                    (name, file)
                })),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.notes
                        .warning(word.span(), "there is no such directory")
                        .label("no rules come from here")
                        .help(format!("create it: mkdir -p {}", path.display()));
                }
                Err(error) => {
                    let finding = self.notes.error(word.span(), "cannot read this directory");
                    finding.label(error.to_string()).help(match error.kind() {
                        io::ErrorKind::NotADirectory => "a single file belongs to `[[rules.file]]`",
                        _ => READABLE,
                    });
                }
            }
        }
        for path in files.into_values() {
            let name: Arc<str> = path.display().to_string().into();
            let read = self
                .surroundings
                .open(&path)
                .and_then(|mut contents| self.read_list(&name, Format::Rules, &mut *contents));
            if let Err(error) = read {
                let message = format!("cannot read this file: {error}");
                let finding = Finding::new(Severity::Error, Place::file(&name), message);
                self.notes
                    .lists
                    .add(finding)
                    .help("an empty file with this name stands for no rules");
            }
        }
    }

    /// Reads one `[[rules.file]]`.
    fn file(&mut self, text: &ListFileText<'_>) {
        let format = self.format(text);
        let Some(word) = &text.path else { return };
        let Some(path) = resolve(&keys::RULES_FILE, "path", word, self.notes, self.base) else {
            return;
        };
        let name: Arc<str> = path.display().to_string().into();
        let mut contents = match self.surroundings.open(&path) {
            Ok(contents) => contents,
            Err(error) => return self.unreadable(word, &error),
        };
        let Some(format) = format else { return };
        if let Err(error) = self.read_list(&name, format, &mut *contents) {
            self.unreadable(word, &error);
        }
    }

    fn unreadable(&mut self, word: &Word<'_>, error: &io::Error) {
        let help = match error.kind() {
            io::ErrorKind::NotFound if word.get_ref().starts_with('/') => {
                "create it, or remove this table"
            }
            io::ErrorKind::NotFound => "a relative path starts from the configuration's directory",
            io::ErrorKind::IsADirectory => "a directory of *.rules files belongs to `directories`",
            _ => READABLE,
        };
        let finding = self.notes.error(word.span(), "cannot read this list file");
        finding.label(error.to_string()).help(help);
    }

    /// What kind of file it is to be, with all that its kind needs.
    fn format(&mut self, text: &ListFileText<'_>) -> Option<Format> {
        let kind = match &text.format {
            Some(word) => one_of(self.notes, "format", Some(word), &FILE_KINDS)?,
            None => FileKind::Rules,
        };
        let list = one_of(self.notes, "list", text.list.as_ref(), &LISTS);
        let verdict = one_of(self.notes, "verdict", text.verdict.as_ref(), &VERDICTS);
        let parts = [("list", &text.list), ("verdict", &text.verdict)];
        let format = match kind {
            FileKind::Plain => {
                let missing: Vec<_> = parts.iter().filter(|part| part.1.is_none()).collect();
                for (key, _) in missing {
                    self.notes
                        .error(
                            text.header.clone(),
                            format!("`{key}` is missing in `[[rules.file]]`"),
                        )
                        .label("a plain file does not say what its entries are for")
                        .help("for example: list = \"client\" and verdict = \"accept\"");
                }
                return list.zip(verdict).map(|(list, verdict)| Format::Plain { list, verdict });
            }
            FileKind::Rules => Format::Rules,
            FileKind::PostgreyClients => Format::PostgreyClients,
            FileKind::PostgreyRecipients => Format::PostgreyRecipients,
        };
        for (key, word) in parts {
            if let Some(word) = word {
                self.notes
                    .error(word.span(), format!("`{key}` is for plain files"))
                    .label("files of this format say it themselves")
                    .help("remove it, or add format = \"plain\" if there is one entry a line");
            }
        }
        Some(format)
    }

    fn read_list(
        &mut self,
        name: &Arc<str>,
        format: Format,
        contents: &mut dyn BufRead,
    ) -> io::Result<()> {
        let source = self.gathered.source(name);
        list_file::read(name, source, format, contents, &mut self.gathered, &mut self.notes.lists)
    }

    /// Adds what stands in the configuration itself.
    fn inline(&mut self, text: &RulesText<'_>) {
        let file = Arc::clone(self.notes.file());
        let source = self.gathered.source(&file);
        for ((list, key), written) in List::ALL.into_iter().zip(RULES_LISTS).zip(&text.lists) {
            self.list(list, key, written, source);
        }
        for word in text.opt_out.iter().flat_map(|words| words.get_ref()) {
            self.opt("opt_out", Verdict::Accept, word, source);
        }
        if let Some(words) = &text.opt_in {
            self.opt_in(words, text, source);
        }
    }

    /// Adds `[rules.client]` or one of its sisters.
    fn list(&mut self, list: List, key: &'static str, text: &ListText<'_>, source: u32) {
        if let Some(word) = &text.default
            && let Some(verdict) = one_of(self.notes, "default", Some(word), &VERDICTS)
        {
            self.set_default(list, verdict, word.span(), source);
        }
        let lists = [
            (Verdict::Accept, &text.accept),
            (Verdict::Reject, &text.reject),
            (Verdict::Greylist, &text.greylist),
        ];
        for (verdict, words) in lists {
            for word in words.iter().flat_map(|words| words.get_ref()) {
                if let Some(pattern) = pattern(key, list, word, self.notes) {
                    self.add(verdict, pattern, word, source);
                }
            }
        }
    }

    /// Only the recipients of `opt_in` are greylisted: of the others, what no rule names is
    /// accepted, unless it is to be rejected.
    fn opt_in(&mut self, words: &Words<'_>, text: &RulesText<'_>, source: u32) {
        if words.get_ref().is_empty() {
            self.notes
                .warning(words.span(), "nobody is greylisted")
                .label("no recipient is listed")
                .help("add recipients or their domains, such as \"example.org\"")
                .help("or leave out `opt_in` to greylist for everybody");
        }
        let default = &text.lists[List::RecipientDomain as usize].default;
        match default.as_ref().map(|word| (word, Verdict::parse(word.get_ref()))) {
            Some((_, Some(Verdict::Accept | Verdict::Reject) | None)) => {}
            Some((word, Some(Verdict::Greylist))) => {
                let opt_in = self.notes.place(words.span());
                self.notes
                    .warning(word.span(), "this default has no effect")
                    .label("recipients that `opt_in` does not list are accepted")
                    .related(opt_in, "only these are greylisted")
                    .help("remove it, or `opt_in`");
                let origin = Origin { source, line: self.notes.line(&words.span()) };
                self.gathered.set_default(List::RecipientDomain, Verdict::Accept, origin);
            }
            None => self.set_default(List::RecipientDomain, Verdict::Accept, words.span(), source),
        }
        for word in words.get_ref() {
            self.opt("opt_in", Verdict::Greylist, word, source);
        }
    }

    /// Adds a recipient, or a recipients' domain.
    fn opt(&mut self, key: &'static str, verdict: Verdict, word: &Word<'_>, source: u32) {
        let text = *word.get_ref();
        let address = text.contains('@') || text.starts_with('/');
        let list = if address { List::Recipient } else { List::RecipientDomain };
        if let Some(pattern) = pattern(key, list, word, self.notes) {
            self.add(verdict, pattern, word, source);
        }
    }

    fn add(&mut self, verdict: Verdict, pattern: Pattern, word: &Word<'_>, source: u32) {
        let origin = Origin { source, line: self.notes.line(&word.span()) };
        if let Some(replaced) = self.gathered.add(verdict, pattern, origin) {
            self.replaced(word.span(), "rule", &replaced);
        }
    }

    fn set_default(&mut self, list: List, verdict: Verdict, span: Range<usize>, source: u32) {
        let origin = Origin { source, line: self.notes.line(&span) };
        if let Some(replaced) = self.gathered.set_default(list, verdict, origin) {
            self.replaced(span, "default", &replaced);
        }
    }

    fn replaced(&mut self, span: Range<usize>, what: &str, replaced: &str) {
        let (message, label) = replacement(what, replaced);
        self.notes.warning(span, message).label(label);
    }
}

/// How it is said that a later rule counts.
pub(super) fn replacement(what: &str, replaced: &str) -> (String, String) {
    (format!("this {what} replaces an earlier one"), format!("instead of {replaced}"))
}

/// Whether a directory's entry is one of its rule files. Hidden ones are editors' leftovers.
fn is_rules_file(name: &OsString) -> bool {
    let bytes = name.as_encoded_bytes();
    bytes.ends_with(RULES_SUFFIX.as_bytes()) && !bytes.starts_with(b".")
}

/// Reads an entry that stands in the configuration.
fn pattern(
    key: &'static str,
    list: List,
    word: &Word<'_>,
    notes: &mut Notes<'_>,
) -> Option<Pattern> {
    let parsed = Pattern::parse(list, word.get_ref());
    let wrong = |error: greylist::rules::PatternError| {
        let span = notes.part(word, error.at.clone());
        let mistake = Mistake::from_sentence(&error.to_string());
        notes
            .error(span, format!("invalid entry \"{}\" in `{key}`", shown(word.get_ref())))
            .label(mistake.what)
            .help
            .extend(mistake.help);
    };
    parsed.map_err(wrong).ok()
}
