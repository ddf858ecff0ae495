//! Text with places: TOML or JSON read into one tree whose every node knows where it stands, and errors that point there.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

/// A value and where it stands in the text, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Range<usize>,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text.
    Table(Vec<(String, Node)>),
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// What is wrong, and where.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) at: Range<usize>,
    pub(crate) what: String,
}

impl Trouble {
    pub(crate) fn new(at: &Range<usize>, what: impl Into<String>) -> Trouble {
        Trouble { at: at.clone(), what: what.into() }
    }

    /// The trouble with its line, its column, and the line itself.
    pub(crate) fn shown<'a>(&'a self, name: &'a str, text: &'a str) -> impl fmt::Display + 'a {
        Shown { trouble: self, name, text }
    }
}

struct Shown<'a> {
    trouble: &'a Trouble,
    name: &'a str,
    text: &'a str,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.trouble.at;
        let start = floor_char(self.text, at.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next().unwrap_or("");
        let number = self.text[..start].matches('\n').count() + 1;
        let column = self.text[line_start..start].chars().count() + 1;
        let end = floor_char(self.text, at.end.max(start)).min(line_start + line.len()).max(start);
        let width = self.text[start..end].chars().count().max(1);
        let margin = number.to_string().len();
        writeln!(f, "{}:{number}:{column}: {}", self.name, self.trouble.what)?;
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{number} | {line}")?;
        write!(f, "{:margin$} | {:indent$}{}", "", "", "^".repeat(width), indent = column - 1)
    }
}

fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Reads a text as JSON if it looks like that, and as TOML otherwise.
pub(crate) fn read(text: &str) -> Result<Node, Trouble> {
    if text.trim_start().starts_with('{') { json(text) } else { toml(text) }
}

fn toml(text: &str) -> Result<Node, Trouble> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().unwrap_or(0..0);
        Trouble::new(&at, error.message())
    })?;
    let at = table.span();
    Ok(Node { at, value: table_of(table.into_inner())? })
}

fn table_of(table: DeTable<'_>) -> Result<Value, Trouble> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let at = value.span();
        let node = Node { at: at.clone(), value: toml_value(value.into_inner(), &at)? };
        entries.push((key.span().start, key.into_inner().into_owned(), node));
    }
    // The parser orders by name.
    entries.sort_by_key(|(at, ..)| *at);
    Ok(Value::Table(entries.into_iter().map(|(_, key, node)| (key, node)).collect()))
}

fn toml_value(value: DeValue<'_>, at: &Range<usize>) -> Result<Value, Trouble> {
    Ok(match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(value) => Value::Int(value),
            Err(_) => return Err(Trouble::new(at, format!("{} is no 64-bit integer", digits.as_str()))),
        },
        DeValue::Float(digits) => match digits.as_str().parse() {
            Ok(value) => Value::Float(value),
            Err(_) => return Err(Trouble::new(at, format!("{} is no number", digits.as_str()))),
        },
        DeValue::Datetime(_) => return Err(Trouble::new(at, "a date has no meaning here")),
        DeValue::Array(list) => {
            let nodes = list.into_iter().map(|item| {
                let at = item.span();
                Ok(Node { at: at.clone(), value: toml_value(item.into_inner(), &at)? })
            });
            Value::List(nodes.collect::<Result<_, Trouble>>()?)
        }
        DeValue::Table(table) => table_of(table)?,
    })
}

fn json(text: &str) -> Result<Node, Trouble> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| {
        let at = offset_of(text, error.line(), error.column());
        let what = error.to_string();
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
        Trouble::new(&(at..at + 1), what)
    })?;
    json_node(text, raw)
}

/// A line and a column from 1 as a place in the text.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column.saturating_sub(1)).min(text.len())
}

fn json_node(text: &str, raw: &RawValue) -> Result<Node, Trouble> {
    let piece = raw.get();
    // The piece is borrowed from the text, so its address says where it stands.
    let start = (piece.as_ptr().addr()).saturating_sub(text.as_ptr().addr());
    let at = start..start + piece.len();
    let bad = |error: serde_json::Error| Trouble::new(&at, error.to_string());
    let value = match piece.as_bytes().first() {
        Some(b'{') => {
            let Entries(entries) = serde_json::from_str(piece).map_err(bad)?;
            let mut table: Vec<(String, Node)> = Vec::with_capacity(entries.len());
            for (key, raw) in entries {
                let node = json_node(text, raw)?;
                if table.iter().any(|(known, _)| *known == key) {
                    return Err(Trouble::new(&node.at, format!("{key:?} is there twice")));
                }
                table.push((key, node));
            }
            Value::Table(table)
        }
        Some(b'[') => {
            let Items(items) = serde_json::from_str(piece).map_err(bad)?;
            Value::List(items.into_iter().map(|raw| json_node(text, raw)).collect::<Result<_, _>>()?)
        }
        _ => match serde_json::from_str(piece).map_err(bad)? {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::String(value) => Value::Text(value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(value), _) => Value::Int(value),
                (None, Some(value)) => Value::Float(value),
                (None, None) => return Err(Trouble::new(&at, format!("{number} is no number that fits"))),
            },
            other => return Err(Trouble::new(&at, format!("{other} is no scalar"))),
        },
    };
    Ok(Node { at, value })
}

/// The entries of an object, in order, twice if they are there twice.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Of)
    }
}

struct Items<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(Of)
    }
}
