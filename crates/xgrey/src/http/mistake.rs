//! What is wrong with a request, in JSON: what, and where in the body.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much is said of a mistake, in bytes: a text that a client sent may be repeated in it.
const WHAT_BYTES_MAX: usize = 400;

/// A mistake in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// What is wrong.
    error: String,
    /// The field, such as `[3].client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The line of the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The column in that line, in bytes, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

impl Mistake {
    /// A mistake of the whole request.
    pub fn new(what: impl Into<String>) -> Self {
        Self { error: cut(what.into()), field: None, line: None, column: None }
    }

    /// What keeps `body` from being a `T`.
    pub(super) fn found_by<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Self {
        let mut json = serde_json::Deserializer::from_slice(body);
        let error = match serde_path_to_error::deserialize::<_, T>(&mut json) {
            // What follows a whole value is a mistake as well.
            Ok(_) => match json.end() {
                Ok(()) => return Self::new("the body cannot be understood"),
                Err(error) => return Self::at(&error, None),
            },
            Err(error) => error,
        };
        let path = error.path().to_string();
        Self::at(error.inner(), Some(path).filter(|path| path != "." && path != "?"))
    }

    /// As JSON, with a line's end.
    pub fn json(&self) -> String {
        // These types cannot fail.
        let mut json = serde_json::to_string(self).unwrap_or_default();
        json.push('\n');
        json
    }

    /// What `error` says.
    pub(super) fn of(error: &serde_json::Error) -> Self {
        Self::at(error, None)
    }

    fn at(error: &serde_json::Error, field: Option<String>) -> Self {
        let said = error.to_string();
        // The place is given apart.
        let what = said.rsplit_once(" at line ").map_or(said.as_str(), |(what, _)| what);
        let place = |number: usize| (error.line() > 0).then_some(number.max(1));
        Self {
            error: cut(what.to_owned()),
            field: field.map(cut),
            line: place(error.line()),
            column: place(error.column()),
        }
    }
}

/// In words: what, and where.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, field, line, column } = self;
        f.write_str(error)?;
        if let Some(field) = field {
            write!(f, ", in {field}")?;
        }
        if let (Some(line), Some(column)) = (line, column) {
            write!(f, ", at line {line} column {column}")?;
        }
        Ok(())
    }
}

/// A text of bounded length.
fn cut(mut text: String) -> String {
    if text.len() > WHAT_BYTES_MAX {
        let end = (0..=WHAT_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}
