//! What is wrong or doubtful in a configuration, and where: data first; [`Report::render`] gives it
//! rustc's look.
//!
//! A report holds what it shows: the one line that each finding points at, cut out of its file.
//! So it can be kept, sent and printed after the files are gone, and a file with a million
//! mistakes costs no more than one with a hundred.
//!
//! Never knows: which keys there are, or what is allowed. It prints nothing.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};

/// How many findings of each severity are kept; the rest are counted. Nobody mends more than a
/// screenful or two before running the check again.
pub const FINDINGS_KEPT_MAX: usize = 50;

/// A longer line is named but not shown: 50 findings x 2 severities x 4 KiB = 400 KiB at worst.
const EXCERPT_BYTES_MAX: usize = 4 * 1024;

/// Whether a finding stops the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but probably does not do what was meant.
    Warning,
}

/// Where a finding points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name as it was given.
    pub file: Arc<str>,
    /// Where in the file; `None` for the file as a whole (it could not be read).
    pub position: Option<Position>,
}

/// A stretch of one line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line's number, from 1.
    pub line: usize,
    /// Characters into the line, from 1.
    pub column: usize,
    /// The line's text and the bytes of it that are meant; `None` if the line is too long to show.
    excerpt: Option<(String, Range<usize>)>,
}

impl Place {
    /// A file as a whole.
    pub fn file(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), position: None }
    }

    /// The bytes `span` of `text`, which is the file's line number `line` (from 1) without its end.
    /// A span beyond the text, or within a character, is moved inwards.
    pub fn in_line(file: &Arc<str>, line: usize, text: &str, span: Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let end = text.ceil_char_boundary(span.end.min(text.len())).max(start);
        let column = text[..start].chars().count() + 1;
        let shown = text.len() <= EXCERPT_BYTES_MAX;
        let excerpt = shown.then(|| (text.to_owned(), start..end));
        Self { file: Arc::clone(file), position: Some(Position { line, column, excerpt }) }
    }

    /// The bytes `span` of a whole file's `text`; of a span over several lines, the first line.
    pub fn in_text(file: &Arc<str>, text: &str, span: Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let number = text.as_bytes()[..line_start].iter().filter(|&&byte| byte == b'\n').count();
        let within = start - line_start..span.end.max(start) - line_start;
        Self::in_line(file, number + 1, line, within)
    }

    /// What orders findings in one file.
    fn key(&self) -> (usize, usize) {
        self.position.as_ref().map_or((0, 0), |position| (position.line, position.column))
    }
}

/// `FILE:LINE:COLUMN`, or `FILE` alone.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match &self.position {
            Some(Position { line, column, .. }) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// One mistake or doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where.
    pub place: Place,
    /// What is said beside the underlined text; may be empty.
    pub label: String,
    /// Another place that has to do with it, and how.
    pub related: Option<(Place, String)>,
    /// How to mend it; each a sentence.
    pub help: Vec<String>,
}

impl Finding {
    /// A finding with nothing said but what is wrong and where.
    pub fn new(severity: Severity, place: Place, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity, message, place, label: String::new(), related: None, help: Vec::new() }
    }

    /// Says `label` beside the underlined text.
    pub fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    /// Adds a way to mend it.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help.push(help.into());
        self
    }

    /// Shows another place, and says what it has to do with this.
    pub fn related(&mut self, place: Place, label: impl Into<String>) -> &mut Self {
        self.related = Some((place, label.into()));
        self
    }
}

/// One line, for a log: `xgrey.toml:12:11: what is wrong: label (help)`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        if !self.label.is_empty() {
            write!(f, ": {}", self.label)?;
        }
        if let Some((place, label)) = &self.related {
            write!(f, " ({label}: {place})")?;
        }
        if !self.help.is_empty() {
            write!(f, " ({})", self.help.join("; "))?;
        }
        Ok(())
    }
}

/// Whether a rendered report has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// For files, pipes and tests.
    Plain,
    /// With ANSI colours, for a terminal.
    Coloured,
}

/// Everything that was found in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
    errors: usize,
    warnings: usize,
    /// Where findings beyond [`FINDINGS_KEPT_MAX`] go, one upon the other.
    beyond: Option<Box<Finding>>,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.errors + self.warnings == 0
    }

    /// How many mistakes were found, kept or not.
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// How many doubts were found, kept or not.
    pub fn warning_count(&self) -> usize {
        self.warnings
    }

    /// The findings: at most [`FINDINGS_KEPT_MAX`] errors and as many warnings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Counts a finding and keeps it if there is room. More can be said of it through what is
    /// returned.
    pub fn add(&mut self, finding: Finding) -> &mut Finding {
        let count = match finding.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count > FINDINGS_KEPT_MAX {
            return self.beyond.insert(Box::new(finding));
        }
        self.findings.push(finding);
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// Puts the findings of one file in the order of its lines.
    pub(super) fn sort(&mut self) {
        self.findings.sort_by_key(|finding| finding.place.key());
    }

    /// Whether another finding of this severity would only be counted.
    pub(super) fn is_full(&self, severity: Severity) -> bool {
        let count = match severity {
            Severity::Error => self.errors,
            Severity::Warning => self.warnings,
        };
        count >= FINDINGS_KEPT_MAX
    }

    /// Neither counts nor keeps a finding, though more can be said of it.
    pub(super) fn hide(&mut self, finding: Finding) -> &mut Finding {
        self.beyond.insert(Box::new(finding))
    }

    /// Appends what was found elsewhere, later.
    pub fn append(&mut self, later: Self) {
        let (errors, warnings) = (self.errors + later.errors, self.warnings + later.warnings);
        let mut kept = [0, 0];
        self.findings.extend(later.findings);
        self.findings.retain(|finding| {
            let count = &mut kept[finding.severity as usize];
            *count += 1;
            *count <= FINDINGS_KEPT_MAX
        });
        (self.errors, self.warnings) = (errors, warnings);
    }

    /// The whole report as text: each finding with its line, the text underlined, the mend; last
    /// the numbers. Empty if nothing was found.
    pub fn render(&self, look: Look) -> String {
        let renderer = match look {
            Look::Plain => Renderer::plain(),
            Look::Coloured => Renderer::styled(),
        };
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&renderer.render(&[finding.group()]));
            text.push_str("\n\n");
        }
        if !self.is_empty() {
            text.push_str(&self.totals());
            text.push('\n');
        }
        text
    }

    /// `3 errors, 1 warning`, and how many of them are not shown.
    fn totals(&self) -> String {
        let counted = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ => Some(format!("{count} {what}s")),
        };
        let counts = [counted(self.errors, "error"), counted(self.warnings, "warning")];
        let mut text = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let hidden = self.errors + self.warnings - self.findings.len();
        if hidden > 0 {
            text.push_str(&format!(" (and {hidden} more of them, not shown)"));
        }
        text
    }
}

impl Finding {
    /// As annotate-snippets wants it.
    fn group(&self) -> annotate_snippets::Group<'_> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut elements = vec![element(&self.place, &self.label, AnnotationKind::Primary)];
        if let Some((place, label)) = &self.related {
            elements.push(element(place, label, AnnotationKind::Context));
        }
        let help = self.help.iter().map(|help| Level::HELP.message(help.as_str()));
        level.primary_title(self.message.as_str()).elements(elements).elements(help)
    }
}

/// A place with its line, if there is one to show.
fn element<'a>(place: &'a Place, label: &'a str, kind: AnnotationKind) -> Element<'a> {
    let Some(Position { line, column, excerpt }) = &place.position else {
        return Origin::path(&*place.file).into();
    };
    let Some((text, span)) = excerpt else {
        return Origin::path(&*place.file).line(*line).char_column(*column).into();
    };
    let annotation = match label {
        "" => kind.span(span.clone()),
        label => kind.span(span.clone()).label(label),
    };
    Snippet::source(text.as_str())
        .path(&*place.file)
        .line_start(*line)
        .annotation(annotation)
        .into()
}
