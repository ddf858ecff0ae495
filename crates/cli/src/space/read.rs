//! Reading a space: from a file, from the study that keeps it, and from an option such as `lr=float(1e-5, 0.1, log)`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use trialog::{
    CategoricalDistribution, Choice, Distribution, DistributionError, FloatDistribution, IntDistribution,
};

use super::expr::Expr;
use super::source::{self, Node, Trouble, Value};
use super::{Constraint, Param, Space};

/// A space that makes no sense, with the place.
#[derive(Debug)]
pub(crate) struct SpaceError(String);

impl fmt::Display for SpaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SpaceError {}

impl SpaceError {
    pub(super) fn of(what: String) -> SpaceError {
        SpaceError(what)
    }
}

/// Reads a condition on the columns of a table.
pub(super) fn filter(text: &str, columns: &[String]) -> Result<Expr, SpaceError> {
    let known: Vec<&str> = columns.iter().map(String::as_str).collect();
    let expr = Expr::parse(text).map_err(|trouble| SpaceError(trouble.shown("--where", text).to_string()))?;
    if let Some(name) = expr.names().into_iter().find(|name| !known.contains(name)) {
        let hint = nearest(name, &known)
            .map_or_else(|| format!("there are {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
        return Err(SpaceError(format!("the table has no column {name:?}; {hint}")));
    }
    Ok(expr)
}

/// Reads a space; `name` is what messages call the text.
pub(crate) fn read(name: &str, text: &str) -> Result<Space, SpaceError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read = source::read(text).and_then(|root| space(text, &root));
    read.map_err(|trouble| SpaceError(trouble.shown(name, text).to_string()))
}

/// Reads a parameter from an option: a name, `=`, and what it is drawn from.
pub(crate) fn read_param(option: &str) -> Result<Param, SpaceError> {
    let Some((name, short)) = option.split_once('=') else {
        let hint = "write NAME=float(LOW, HIGH), NAME=int(LOW, HIGH) or NAME=choice(A, B)";
        return Err(SpaceError(format!("{option:?} is no parameter: {hint}")));
    };
    let at = name.len() + 1..option.len();
    let read = self::short(&at, short).map(|distribution| Param { name: name.into(), distribution, when: None });
    read.map_err(|trouble| SpaceError(trouble.shown("--param", option).to_string()))
}

const FIELDS: [&str; 4] = ["params", "constraints", "constraint", "order"];

fn space(text: &str, root: &Node) -> Result<Space, Trouble> {
    let Value::Table(fields) = &root.value else { return Err(Trouble::new(&root.at, "a space is a table")) };
    let mut params: Vec<(Param, Range<usize>)> = Vec::new();
    let mut constraints: Vec<(Constraint, Range<usize>)> = Vec::new();
    let mut order = Vec::new();
    for (key, node) in fields {
        match key.as_str() {
            "params" => {
                for (name, node) in table(node, "params")? {
                    params.push(param(text, name, node)?);
                }
            }
            "constraints" | "constraint" => {
                for node in list(node, key)? {
                    constraints.push((constraint(text, node)?, node.at.clone()));
                }
            }
            "order" => {
                for node in list(node, key)? {
                    order.push(text_of(node, "a parameter's name")?);
                }
            }
            _ => return Err(unknown(&node.at, key, &FIELDS, "a space")),
        }
    }
    if params.is_empty() {
        return Err(Trouble::new(
            &(0..0),
            "a space needs at least one parameter: write a table [params.NAME] for each",
        ));
    }
    let place = |name: &str| order.iter().position(|known| *known == name).unwrap_or(usize::MAX);
    params.sort_by_key(|(param, _)| place(&param.name));
    check_names(&params, &constraints)?;
    let params = sorted(params)?;
    Ok(Space { params, constraints: constraints.into_iter().map(|(constraint, _)| constraint).collect() })
}

fn param(text: &str, name: &str, node: &Node) -> Result<(Param, Range<usize>), Trouble> {
    let named = |trouble: Trouble| Trouble { what: format!("parameter {name:?}: {}", trouble.what), ..trouble };
    if name.is_empty() {
        return Err(Trouble::new(&node.at, "a parameter needs a name"));
    }
    let (distribution, when) = match &node.value {
        Value::Text(short_form) => (short(&inside(text, &node.at), short_form).map_err(named)?, None),
        Value::List(choices) => (choice_list(&node.at, choices).map_err(named)?, None),
        Value::Table(fields) => long(text, &node.at, fields).map_err(named)?,
        other => {
            let what =
                format!("expected a table such as {{ type = \"float\", low = 0, high = 1 }}, not {}", other.kind());
            return Err(named(Trouble::new(&node.at, what)));
        }
    };
    Ok((Param { name: name.into(), distribution, when }, node.at.clone()))
}

const PARAM_FIELDS: [&str; 7] = ["type", "low", "high", "log", "step", "choices", "when"];

fn long(text: &str, at: &Range<usize>, fields: &[(String, Node)]) -> Result<(Distribution, Option<Expr>), Trouble> {
    for (key, node) in fields {
        if !PARAM_FIELDS.contains(&key.as_str()) {
            return Err(unknown(&node.at, key, &PARAM_FIELDS, "a parameter"));
        }
    }
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, node)| node);
    let when = field("when").map(|node| expression(text, node)).transpose()?;
    let kind = match (field("type"), field("choices")) {
        (Some(node), _) => text_of(node, "a type")?,
        (None, Some(_)) => "categorical",
        (None, None) => {
            return Err(Trouble::new(at, "its type is missing: float, int or categorical"));
        }
    };
    let allowed: &[&str] = match kind {
        "float" | "int" => &["type", "low", "high", "log", "step", "when"],
        "categorical" => &["type", "choices", "when"],
        _ => {
            let place = field("type").map_or(at, |node| &node.at);
            return Err(Trouble::new(place, format!("there is no type {kind:?}: use float, int or categorical")));
        }
    };
    if let Some((key, node)) = fields.iter().find(|(key, _)| !allowed.contains(&key.as_str())) {
        return Err(Trouble::new(&node.at, format!("a parameter of type {kind} has no {key:?}")));
    }
    let needed = |name: &str| field(name).ok_or_else(|| Trouble::new(at, format!("its {name} is missing")));
    let log = match field("log") {
        None => false,
        Some(Node { value: Value::Bool(log), .. }) => *log,
        Some(node) => {
            return Err(Trouble::new(&node.at, format!("log is true or false, not {}", node.value.kind())));
        }
    };
    let distribution = match kind {
        "categorical" => {
            let node = needed("choices")?;
            choice_list(&node.at, list(node, "choices")?)?
        }
        "int" => {
            let step = field("step").map_or(Ok(1), int)?;
            made(
                at,
                IntDistribution::new(int(needed("low")?)?, int(needed("high")?)?, log, step).map(Distribution::Int),
            )?
        }
        _ => {
            let (low, high) = (float(needed("low")?)?, float(needed("high")?)?);
            let step = field("step").map(float).transpose()?;
            made(at, FloatDistribution::new(low, high, log, step).map(Distribution::Float))?
        }
    };
    Ok((distribution, when))
}

/// `float(0, 1)`, `float(1e-5, 0.1, log)`, `int(1, 9, step=2)`, `choice(a, b, "c d", 3)`.
fn short(at: &Range<usize>, text: &str) -> Result<Distribution, Trouble> {
    let trouble = |what: String| Trouble::new(at, what);
    let inner = text.trim();
    let (kind, arguments) = inner
        .split_once('(')
        .and_then(|(kind, rest)| Some((kind.trim(), rest.strip_suffix(')')?)))
        .ok_or_else(|| trouble(format!("{inner:?} is none of float(LOW, HIGH), int(LOW, HIGH), choice(A, B)")))?;
    let arguments = split(arguments);
    if kind == "choice" {
        let choices = arguments.iter().map(|argument| scalar(argument));
        return made(at, CategoricalDistribution::new(choices).map(Distribution::Categorical));
    }
    let (mut log, mut step, mut ends) = (false, None, Vec::new());
    for argument in arguments.iter().map(|argument| argument.trim()) {
        match argument.strip_prefix("step=") {
            Some(value) => step = Some(value.trim()),
            None if argument == "log" => log = true,
            None => ends.push(argument),
        }
    }
    let [low, high] = *ends else {
        return Err(trouble(format!("{kind} takes a lower and an upper end, and is given {}", ends.len())));
    };
    fn number<T: std::str::FromStr>(at: &Range<usize>, text: &str, what: &str) -> Result<T, Trouble> {
        text.parse().map_err(|_| Trouble::new(at, format!("{text:?} is no {what}")))
    }
    match kind {
        "float" => {
            let step = step.map(|step| number(at, step, "number")).transpose()?;
            let made_of =
                FloatDistribution::new(number(at, low, "number")?, number(at, high, "number")?, log, step);
            made(at, made_of.map(Distribution::Float))
        }
        "int" => {
            let step = step.map_or(Ok(1), |step| number(at, step, "integer"))?;
            let made_of =
                IntDistribution::new(number(at, low, "integer")?, number(at, high, "integer")?, log, step);
            made(at, made_of.map(Distribution::Int))
        }
        _ => Err(trouble(format!("there is no {kind}(...): use float, int or choice"))),
    }
}

/// Splits at commas that stand outside of quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quote) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ',') => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() || !parts.is_empty() {
        parts.push(&text[start..]);
    }
    parts
}

/// A value as people type it: a number, `true`, `false`, `null`, or a text with or without quotes.
fn scalar(text: &str) -> Choice {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Choice::from(inner);
        }
    }
    match text {
        "true" => Choice::Bool(true),
        "false" => Choice::Bool(false),
        "null" => Choice::Null,
        _ => text
            .parse()
            .map(Choice::Int)
            .or_else(|_| text.parse().map(Choice::Float))
            .unwrap_or_else(|_| Choice::from(text)),
    }
}

fn choice_list(at: &Range<usize>, nodes: &[Node]) -> Result<Distribution, Trouble> {
    let mut choices = Vec::with_capacity(nodes.len());
    for node in nodes {
        choices.push(match &node.value {
            Value::Null => Choice::Null,
            Value::Bool(value) => Choice::Bool(*value),
            Value::Int(value) => Choice::Int(*value),
            Value::Float(value) => Choice::Float(*value),
            Value::Text(text) => Choice::from(text.as_str()),
            other => return Err(Trouble::new(&node.at, format!("a choice is a scalar, not {}", other.kind()))),
        });
    }
    made(at, CategoricalDistribution::new(choices).map(Distribution::Categorical))
}

fn made(at: &Range<usize>, made: Result<Distribution, DistributionError>) -> Result<Distribution, Trouble> {
    made.map_err(|error| Trouble::new(at, error.to_string()))
}

fn constraint(text: &str, node: &Node) -> Result<Constraint, Trouble> {
    match &node.value {
        Value::Text(_) => {
            let expr = expression(text, node)?;
            Ok(Constraint { name: expr.text.clone(), expr })
        }
        Value::Table(fields) => {
            if let Some((key, node)) = fields.iter().find(|(key, _)| key != "name" && key != "expr") {
                return Err(unknown(&node.at, key, &["name", "expr"], "a constraint"));
            }
            let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, node)| node);
            let expr = field("expr").ok_or_else(|| Trouble::new(&node.at, "its expr is missing"))?;
            let expr = expression(text, expr)?;
            let name = field("name").map(|node| text_of(node, "a name")).transpose()?;
            Ok(Constraint { name: name.unwrap_or(&expr.text).to_owned(), expr })
        }
        other => {
            Err(Trouble::new(&node.at, format!("a constraint is an expression in quotes, not {}", other.kind())))
        }
    }
}

fn expression(text: &str, node: &Node) -> Result<Expr, Trouble> {
    let content = text_of(node, "an expression in quotes")?;
    Expr::parse(content).map_err(|trouble| {
        let inside = inside(text, &node.at);
        let place = |at: usize| (inside.start + at).min(inside.end);
        Trouble { at: place(trouble.at.start)..place(trouble.at.end), ..trouble }
    })
}

/// The place of what stands between a text's quotes. Exact unless the text has escapes.
fn inside(text: &str, at: &Range<usize>) -> Range<usize> {
    let piece = text.get(at.clone()).unwrap_or("");
    let quotes = piece.len() - piece.trim_start_matches(['"', '\'']).len();
    let quotes = if quotes >= 3 && quotes != piece.len() { 3 } else { quotes.min(1) };
    at.start + quotes..at.end.saturating_sub(quotes).max(at.start + quotes)
}

/// Every name in an expression must be a parameter.
fn check_names(
    params: &[(Param, Range<usize>)],
    constraints: &[(Constraint, Range<usize>)],
) -> Result<(), Trouble> {
    let known: Vec<&str> = params.iter().map(|(param, _)| param.name.as_str()).collect();
    let whens = params
        .iter()
        .filter_map(|(param, at)| Some((param.when.as_ref()?, at, format!("the condition of {:?}", param.name))));
    let others = constraints
        .iter()
        .map(|(constraint, at)| (&constraint.expr, at, format!("constraint {:?}", constraint.name)));
    for (expr, at, what) in whens.chain(others) {
        if let Some(name) = expr.names().into_iter().find(|name| !known.contains(name)) {
            let hint = nearest(name, &known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            return Err(Trouble::new(at, format!("{what} names {name:?}, which is no parameter{hint}")));
        }
    }
    Ok(())
}

/// The parameters, each after those that its condition names, and otherwise in their order.
fn sorted(params: Vec<(Param, Range<usize>)>) -> Result<Vec<Param>, Trouble> {
    let mut placed: Vec<Param> = Vec::with_capacity(params.len());
    let mut left = params;
    while !left.is_empty() {
        let ready = left.iter().position(|(param, _)| {
            let names = param.when.as_ref().map(Expr::names).unwrap_or_default();
            names.iter().all(|name| placed.iter().any(|known| known.name == *name))
        });
        match ready {
            Some(at) => placed.push(left.remove(at).0),
            None => {
                let names: Vec<String> = left.iter().map(|(param, _)| format!("{:?}", param.name)).collect();
                let what = format!("the conditions of {} depend on one another", names.join(" and "));
                return Err(Trouble::new(&left[0].1, what));
            }
        }
    }
    Ok(placed)
}

fn unknown(at: &Range<usize>, key: &str, known: &[&str], what: &str) -> Trouble {
    let hint = nearest(key, known)
        .map_or_else(|| format!("there are {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
    Trouble::new(at, format!("{what} has no {key:?}; {hint}"))
}

/// The known name that differs least, if by little.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|known| (edits(name, known), *known));
    distances.min().filter(|(edits, _)| *edits <= 2 && *edits < name.chars().count()).map(|(_, known)| known)
}

/// The Levenshtein distance.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.iter().enumerate() {
            let best = (corner + usize::from(a != *b)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[right.len()]
}

fn table<'a>(node: &'a Node, what: &str) -> Result<&'a [(String, Node)], Trouble> {
    match &node.value {
        Value::Table(fields) => Ok(fields),
        other => Err(Trouble::new(&node.at, format!("{what} is a table, not {}", other.kind()))),
    }
}

fn list<'a>(node: &'a Node, what: &str) -> Result<&'a [Node], Trouble> {
    match &node.value {
        Value::List(nodes) => Ok(nodes),
        other => Err(Trouble::new(&node.at, format!("{what} is a list, not {}", other.kind()))),
    }
}

fn text_of<'a>(node: &'a Node, what: &str) -> Result<&'a str, Trouble> {
    match &node.value {
        Value::Text(text) => Ok(text),
        other => Err(Trouble::new(&node.at, format!("expected {what}, not {}", other.kind()))),
    }
}

fn int(node: &Node) -> Result<i64, Trouble> {
    match node.value {
        Value::Int(value) => Ok(value),
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Ok(value as i64),
        ref other => Err(Trouble::new(&node.at, format!("expected an integer, not {}", other.kind()))),
    }
}

fn float(node: &Node) -> Result<f64, Trouble> {
    match node.value {
        Value::Int(value) => Ok(value as f64),
        Value::Float(value) => Ok(value),
        ref other => Err(Trouble::new(&node.at, format!("expected a number, not {}", other.kind()))),
    }
}

/// No two parameters of these lists have the same name.
pub(crate) fn joined(from_file: Option<Space>, from_options: Vec<Param>) -> Result<Option<Space>, SpaceError> {
    let mut space = from_file.unwrap_or(Space { params: Vec::new(), constraints: Vec::new() });
    let mut by_name: BTreeMap<String, ()> = space.params.iter().map(|param| (param.name.clone(), ())).collect();
    for param in from_options {
        if by_name.insert(param.name.clone(), ()).is_some() {
            return Err(SpaceError(format!("parameter {:?} is there twice", param.name)));
        }
        space.params.push(param);
    }
    Ok((!space.params.is_empty()).then_some(space))
}
