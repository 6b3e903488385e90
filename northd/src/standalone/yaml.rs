//! YAML text to values, and what is wrong with it in words for whoever wrote it.
//!
//! ```text
//! text ─documents─▶ Document (where it begins) ─read─▶ value
//!                                                └────▶ line and column of the file, field, message
//! ```
//!
//! A document is read on its own: how long reading takes does not depend on what else is in the file.
//! Must not: know what the documents are about.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

/// A document of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Document {
    text: String,
    /// Lines of the file before it.
    lines_before: u64,
}

/// What is wrong with a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Line and column in the file, from 1.
    pub(crate) place: Option<(u64, u64)>,
    /// Path of the value in question; empty where it is the document's own.
    pub(crate) field: String,
    /// One line.
    pub(crate) message: String,
}

/// The documents of a file. A line that begins with three dashes separates them, wherever it stands (YAML 1.2 §9.1.2).
pub(crate) fn documents(text: &str) -> Vec<Document> {
    let mut current = Document {
        text: String::new(),
        lines_before: 0,
    };
    let mut documents = Vec::new();
    for (number, line) in (0..).zip(text.split_inclusive('\n')) {
        let after_dashes = line
            .strip_prefix("---")
            .filter(|rest| rest.trim().is_empty() || rest.starts_with([' ', '\t']));
        if let Some(rest) = after_dashes {
            // The separator's line may carry content; blanks keep its columns.
            let next = Document {
                text: format!("   {rest}"),
                lines_before: number,
            };
            documents.push(std::mem::replace(&mut current, next));
        } else {
            current.text.push_str(line);
        }
    }
    documents.push(current);
    documents
}

impl Document {
    /// Its value.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        let mut options = serde_saphyr::Options::default();
        options.with_snippet = false;
        let mut field = String::new();
        let read =
            serde_saphyr::with_deserializer_from_str_with_options(&self.text, options, |yaml| {
                serde_path_to_error::deserialize(yaml).map_err(|error| {
                    field = error.path().to_string();
                    error.into_inner()
                })
            });
        read.map_err(|error| Fault {
            place: error.location().map(|location| {
                (
                    location.line().saturating_add(self.lines_before),
                    location.column(),
                )
            }),
            // A question mark stands for what is not known, a lone dot for the document.
            field: field.trim_end_matches(['.', '?']).to_owned(),
            message: in_one_line(&Plain.format_message(error.without_snippet())),
        })
    }
}

/// Says what the author of a manifest can act on; the place is told elsewhere.
struct Plain;

impl MessageFormatter for Plain {
    fn format_message<'a>(&self, error: &'a Error) -> Cow<'a, str> {
        match error {
            Error::AliasError { error, .. } => self.format_message(error),
            Error::DuplicateMappingKey { key: Some(key), .. } => {
                format!("key \"{key}\" comes twice; remove one").into()
            }
            Error::Budget { .. } => TOO_MUCH.into(),
            Error::InvalidScalar {
                ty: "i32" | "i64", ..
            } => "not a whole number".into(),
            Error::Unexpected { expected, .. } => match *expected {
                "mapping start" => "expected a mapping, KEY: VALUE".into(),
                "sequence start" => "expected a list, [VALUE, …]".into(),
                "string scalar" => "expected text".into(),
                expected => format!("expected {expected}").into(),
            },
            other => match UserMessageFormatter.format_message(other) {
                text if text == "recursion limit exceeded" => TOO_MUCH.into(),
                text => text,
            },
        }
    }
}

const TOO_MUCH: &str = "nested too deeply, or too much for one document; split it with ---";

fn in_one_line(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn documents_know_where_they_begin() {
        let all = documents("a: 1\n--- # note\nb: 2\n--- {c: [}\n---- no separator\n");
        let begin: Vec<_> = all
            .iter()
            .map(|document| (document.lines_before, document.text.as_str()))
            .collect();
        assert_eq!(
            begin,
            [
                (0, "a: 1\n"),
                (1, "    # note\nb: 2\n"),
                (3, "    {c: [}\n---- no separator\n")
            ]
        );
        let fault = all[2].read::<BTreeMap<String, i64>>().unwrap_err();
        let (line, column) = fault.place.unwrap();
        assert_eq!((line, column > 4), (4, true), "{fault:?}");
    }

    #[test]
    fn a_fault_is_told_with_place_and_field_in_one_line_of_plain_words() {
        type Text = BTreeMap<String, BTreeMap<String, Vec<i32>>>;
        let deep = format!("a: {}", "[".repeat(5000));
        let bomb: String = (1..12_u8)
            .map(|level| {
                let refer = format!("*a{}", level.saturating_sub(1));
                format!("a{level}: &a{level} [{}]\n", vec![refer; 10].join(","))
            })
            .collect();
        for (text, place, field, message) in [
            (
                "x: {y: [1, many]}",
                Some((2, 12)),
                "x.y[1]",
                "not a whole number",
            ),
            (
                "x: {y: 3}",
                Some((2, 8)),
                "x.y",
                "expected a list, [VALUE, …]",
            ),
            (
                "x: [1]",
                Some((2, 4)),
                "x",
                "expected a mapping, KEY: VALUE",
            ),
            (
                "x: {}\nx: {}",
                Some((3, 1)),
                "",
                "key \"x\" comes twice; remove one",
            ),
            (
                "just text",
                Some((2, 1)),
                "",
                "expected a mapping, KEY: VALUE",
            ),
        ] {
            let fault = documents(&format!("---\n{text}"))[1]
                .read::<Text>()
                .unwrap_err();
            let wanted = Fault {
                place,
                field: field.to_owned(),
                message: message.to_owned(),
            };
            assert_eq!(fault, wanted, "{text}");
        }
        for text in [deep, format!("a0: &a0 [x]\n{bomb}")] {
            let fault = documents(&text)[0].read::<serde_json::Value>().unwrap_err();
            assert!(fault.message.starts_with("nested too deeply"), "{fault:?}");
        }
    }
}
