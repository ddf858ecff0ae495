//! Conditions and constraints: small expressions over the parameters of a trial.
//!
//! ```text
//! or     = and { ("or" | "||") and }            and     = not { ("and" | "&&") not }
//! not    = ("not" | "!") not | compare          compare = sum [ ("<" | "<=" | ">" | ">=" | "==" | "!=") sum | ["not"] "in" list ]
//! sum    = product { ("+" | "-") product }      product = sign { ("*" | "/" | "%") sign }
//! sign   = "-" sign | power                     power   = atom [ ("**" | "^") sign ]
//! atom   = number | text | "true" | "false" | "null" | name | function "(" or {"," or} ")" | "(" or ")" | list
//! ```

use std::collections::BTreeSet;
use std::ops::Range;

use super::source::Trouble;

/// How deep expressions may nest, and how long they may be: working one out goes as deep as it is built.
const DEPTH_MAX: usize = 64;
const BYTES_MAX: usize = 4096;

/// A value while an expression is worked out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Val {
    Null,
    Bool(bool),
    Num(f64),
    Text(String),
}

/// An expression with the text that it was read from.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) text: String,
    root: Ast,
}

#[derive(Clone, Debug)]
enum Ast {
    Value(Val),
    Name(String),
    Not(Box<Ast>),
    Neg(Box<Ast>),
    Binary(Binary, Box<Ast>, Box<Ast>),
    In { item: Box<Ast>, list: Vec<Ast>, negated: bool },
    Call(Function, Vec<Ast>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Or,
    And,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Abs,
    Ceil,
    Exp,
    Floor,
    Ln,
    Log2,
    Log10,
    Max,
    Min,
    Round,
    Sqrt,
}

const FUNCTIONS: [(&str, Function); 11] = [
    ("abs", Function::Abs),
    ("ceil", Function::Ceil),
    ("exp", Function::Exp),
    ("floor", Function::Floor),
    ("log", Function::Ln),
    ("log2", Function::Log2),
    ("log10", Function::Log10),
    ("max", Function::Max),
    ("min", Function::Min),
    ("round", Function::Round),
    ("sqrt", Function::Sqrt),
];

/// What an expression comes to: nothing if a parameter in it does not take part in the trial.
pub(crate) type Worth<T> = Result<Option<T>, String>;

impl Expr {
    /// Reads a text; places in troubles count from its first byte.
    pub(crate) fn parse(text: &str) -> Result<Expr, Trouble> {
        if text.len() > BYTES_MAX {
            let what = format!("an expression may have {BYTES_MAX} bytes, and this one has {}", text.len());
            return Err(Trouble::new(&(0..text.len()), what));
        }
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), depth: 0 };
        let root = parser.or()?;
        match parser.tokens.get(parser.at) {
            None => Ok(Expr { text: text.to_owned(), root }),
            Some(token) => {
                Err(Trouble::new(&token.at, "this does not belong here: an operator is missing before it"))
            }
        }
    }

    /// The parameters that it names.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        collect(&self.root, &mut names);
        names
    }

    /// Whether it is true.
    pub(crate) fn is_true(&self, lookup: &dyn Fn(&str) -> Option<Val>) -> Worth<bool> {
        match value(&self.root, lookup)? {
            None => Ok(None),
            Some(Val::Bool(is)) => Ok(Some(is)),
            Some(other) => Err(format!("`{}` comes to {}, not to true or false", self.text, kind(&other))),
        }
    }

    /// By how much it is violated, 0 or less if it is true: a difference where it compares numbers, so that samplers can
    /// tell near from far, and 1 where there is no such thing.
    pub(crate) fn violation(&self, lookup: &dyn Fn(&str) -> Option<Val>) -> Worth<f64> {
        violation(&self.root, lookup).map_err(|what| format!("`{}`: {what}", self.text))
    }
}

fn collect<'a>(ast: &'a Ast, names: &mut BTreeSet<&'a str>) {
    match ast {
        Ast::Value(_) => {}
        Ast::Name(name) => _ = names.insert(name),
        Ast::Not(inner) | Ast::Neg(inner) => collect(inner, names),
        Ast::Binary(_, left, right) => [left, right].into_iter().for_each(|side| collect(side, names)),
        Ast::In { item, list, .. } => {
            collect(item, names);
            list.iter().for_each(|one| collect(one, names));
        }
        Ast::Call(_, arguments) => arguments.iter().for_each(|one| collect(one, names)),
    }
}

fn kind(value: &Val) -> String {
    match value {
        Val::Null => "null".to_owned(),
        Val::Bool(value) => value.to_string(),
        Val::Num(value) => value.to_string(),
        Val::Text(text) => format!("{text:?}"),
    }
}

macro_rules! known {
    ($worth:expr) => {
        match $worth? {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

fn value(ast: &Ast, lookup: &dyn Fn(&str) -> Option<Val>) -> Worth<Val> {
    Ok(Some(match ast {
        Ast::Value(value) => value.clone(),
        Ast::Name(name) => return Ok(lookup(name)),
        Ast::Not(inner) => Val::Bool(!truth(known!(value(inner, lookup)))?),
        Ast::Neg(inner) => Val::Num(-number(known!(value(inner, lookup)))?),
        // What decides alone needs no second side.
        Ast::Binary(Binary::Or, left, right) => {
            Val::Bool(truth(known!(value(left, lookup)))? || truth(known!(value(right, lookup)))?)
        }
        Ast::Binary(Binary::And, left, right) => {
            Val::Bool(truth(known!(value(left, lookup)))? && truth(known!(value(right, lookup)))?)
        }
        Ast::Binary(op, left, right) => binary(*op, known!(value(left, lookup)), known!(value(right, lookup)))?,
        Ast::In { item, list, negated } => {
            let item = known!(value(item, lookup));
            let mut found = false;
            for one in list {
                found |= known!(value(one, lookup)) == item;
            }
            Val::Bool(found != *negated)
        }
        Ast::Call(function, arguments) => {
            let mut numbers = Vec::with_capacity(arguments.len());
            for argument in arguments {
                numbers.push(number(known!(value(argument, lookup)))?);
            }
            Val::Num(call(*function, &numbers))
        }
    }))
}

fn truth(value: Val) -> Result<bool, String> {
    match value {
        Val::Bool(value) => Ok(value),
        other => Err(format!("{} is neither true nor false", kind(&other))),
    }
}

fn number(value: Val) -> Result<f64, String> {
    match value {
        Val::Num(value) => Ok(value),
        other => Err(format!("{} is no number", kind(&other))),
    }
}

fn binary(op: Binary, left: Val, right: Val) -> Result<Val, String> {
    match op {
        Binary::Equal => return Ok(Val::Bool(left == right)),
        Binary::NotEqual => return Ok(Val::Bool(left != right)),
        _ => {}
    }
    if let (Val::Text(left), Val::Text(right)) = (&left, &right) {
        return Ok(Val::Bool(match op {
            Binary::Less => left < right,
            Binary::LessEqual => left <= right,
            Binary::Greater => left > right,
            Binary::GreaterEqual => left >= right,
            _ => return Err(format!("{left:?} is no number")),
        }));
    }
    let (left, right) = (number(left)?, number(right)?);
    Ok(match op {
        Binary::Less => Val::Bool(left < right),
        Binary::LessEqual => Val::Bool(left <= right),
        Binary::Greater => Val::Bool(left > right),
        Binary::GreaterEqual => Val::Bool(left >= right),
        Binary::Add => Val::Num(left + right),
        Binary::Subtract => Val::Num(left - right),
        Binary::Multiply => Val::Num(left * right),
        Binary::Divide => Val::Num(left / right),
        Binary::Remainder => Val::Num(left % right),
        Binary::Power => Val::Num(left.powf(right)),
        Binary::Or | Binary::And | Binary::Equal | Binary::NotEqual => Val::Null,
    })
}

fn call(function: Function, numbers: &[f64]) -> f64 {
    let first = numbers.first().copied().unwrap_or(f64::NAN);
    match function {
        Function::Abs => first.abs(),
        Function::Ceil => first.ceil(),
        Function::Exp => first.exp(),
        Function::Floor => first.floor(),
        Function::Ln => first.ln(),
        Function::Log2 => first.log2(),
        Function::Log10 => first.log10(),
        Function::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Function::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        Function::Round => first.round(),
        Function::Sqrt => first.sqrt(),
    }
}

fn violation(ast: &Ast, lookup: &dyn Fn(&str) -> Option<Val>) -> Worth<f64> {
    Ok(Some(match ast {
        Ast::Binary(Binary::And, left, right) => {
            known!(violation(left, lookup)).max(known!(violation(right, lookup)))
        }
        Ast::Binary(Binary::Or, left, right) => {
            known!(violation(left, lookup)).min(known!(violation(right, lookup)))
        }
        Ast::Binary(
            op @ (Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual | Binary::Equal),
            left,
            right,
        ) => match (known!(value(left, lookup)), known!(value(right, lookup))) {
            (Val::Num(left), Val::Num(right)) => {
                let by = match op {
                    Binary::Less | Binary::LessEqual => left - right,
                    Binary::Greater | Binary::GreaterEqual => right - left,
                    _ => (left - right).abs(),
                };
                match op {
                    _ if by.is_nan() => 1.0,
                    // At the border itself a strict comparison is violated, by as little as there is.
                    Binary::Less | Binary::Greater if by == 0.0 => f64::MIN_POSITIVE,
                    _ => by,
                }
            }
            (left, right) => f64::from(u8::from(!truth(binary(*op, left, right)?)?)),
        },
        other => f64::from(u8::from(!truth(known!(value(other, lookup)))?)),
    }))
}

#[derive(Clone, Debug)]
struct Token {
    at: Range<usize>,
    what: Lexeme,
}

#[derive(Clone, Debug, PartialEq)]
enum Lexeme {
    Number(f64),
    Text(String),
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

const SIGNS: [&str; 21] = [
    "**", "<=", ">=", "==", "!=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "^", "!", "(", ")", "[", "]", ",",
];

fn tokens(text: &str) -> Result<Vec<Token>, Trouble> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let rest = &text[at..];
        let (bytes, what) = if c.is_ascii_digit() || c == '.' {
            let bytes = number_bytes(rest);
            let value = rest[..bytes].parse();
            let value = value.map_err(|_| Trouble::new(&(at..at + bytes), "this is no number"))?;
            (bytes, Lexeme::Number(value))
        } else if c == '\'' || c == '"' {
            let Some(end) = rest[1..].find(c) else {
                return Err(Trouble::new(&(at..text.len()), "the text that begins here has no end"));
            };
            (end + 2, Lexeme::Text(rest[1..=end].to_owned()))
        } else if c == '_' || c.is_alphabetic() {
            let in_name = |c: char| c == '_' || c == '.' || c.is_alphanumeric();
            let bytes = rest.find(|c| !in_name(c)).unwrap_or(rest.len());
            (bytes, Lexeme::Name(rest[..bytes].to_owned()))
        } else if c == '`' {
            // A name with other signs in it, such as `hidden_dim[0]`.
            let Some(end) = rest[1..].find('`') else {
                return Err(Trouble::new(&(at..text.len()), "the name that begins here has no end"));
            };
            (end + 2, Lexeme::Name(rest[1..=end].to_owned()))
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (sign.len(), Lexeme::Sign(sign))
        } else {
            return Err(Trouble::new(&(at..at + c.len_utf8()), format!("{c:?} has no meaning in an expression")));
        };
        tokens.push(Token { at: at..at + bytes, what });
        at += bytes;
    }
    Ok(tokens)
}

fn number_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let signed = matches!(byte, b'+' | b'-') && at > 0 && matches!(bytes[at - 1], b'e' | b'E');
        if !(byte.is_ascii_alphanumeric() || *byte == b'.' || signed) {
            break;
        }
        at += 1;
    }
    at
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    end: usize,
    depth: usize,
}

impl Parser<'_> {
    /// Takes the next token if it is one of these signs or words.
    fn take(&mut self, wanted: &[(&str, Binary)]) -> Option<Binary> {
        let found = match &self.tokens.get(self.at)?.what {
            Lexeme::Sign(sign) => *sign,
            Lexeme::Name(name) => name.as_str(),
            _ => return None,
        };
        let (_, op) = wanted.iter().find(|(sign, _)| *sign == found)?;
        self.at += 1;
        Some(*op)
    }

    fn is_next(&self, wanted: &str) -> bool {
        match self.tokens.get(self.at).map(|token| &token.what) {
            Some(Lexeme::Sign(sign)) => *sign == wanted,
            Some(Lexeme::Name(name)) => name == wanted,
            _ => false,
        }
    }

    fn skip(&mut self, wanted: &str) -> bool {
        let is = self.is_next(wanted);
        self.at += usize::from(is);
        is
    }

    fn here(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.end..self.end, |token| token.at.clone())
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Trouble> {
        if self.skip(wanted) {
            Ok(())
        } else {
            Err(Trouble::new(&self.here(), format!("expected `{wanted}` here")))
        }
    }

    fn chain(
        &mut self,
        ops: &[(&str, Binary)],
        next: fn(&mut Self) -> Result<Ast, Trouble>,
    ) -> Result<Ast, Trouble> {
        let mut left = next(self)?;
        while let Some(op) = self.take(ops) {
            left = Ast::Binary(op, Box::new(left), Box::new(next(self)?));
        }
        Ok(left)
    }

    fn or(&mut self) -> Result<Ast, Trouble> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Trouble::new(&self.here(), format!("nested deeper than {DEPTH_MAX}")));
        }
        let ast = self.chain(&[("or", Binary::Or), ("||", Binary::Or)], Self::and);
        self.depth -= 1;
        ast
    }

    fn and(&mut self) -> Result<Ast, Trouble> {
        self.chain(&[("and", Binary::And), ("&&", Binary::And)], Self::not)
    }

    fn not(&mut self) -> Result<Ast, Trouble> {
        let mut negated = 0;
        while self.skip("not") || self.skip("!") {
            negated += 1;
        }
        let ast = self.compare()?;
        Ok(if negated % 2 == 1 { Ast::Not(Box::new(ast)) } else { ast })
    }

    fn compare(&mut self) -> Result<Ast, Trouble> {
        let left = self.sum()?;
        let negated = self.is_next("not");
        if negated || self.is_next("in") {
            self.at += usize::from(negated);
            self.expect("in")?;
            self.expect("[")?;
            let list = self.arguments("]")?;
            return Ok(Ast::In { item: Box::new(left), list, negated });
        }
        let ops = [
            ("<", Binary::Less),
            ("<=", Binary::LessEqual),
            (">", Binary::Greater),
            (">=", Binary::GreaterEqual),
            ("==", Binary::Equal),
            ("!=", Binary::NotEqual),
        ];
        let Some(op) = self.take(&ops) else { return Ok(left) };
        let right = self.sum()?;
        let at = self.here();
        if self.take(&ops).is_some() {
            return Err(Trouble::new(&at, "comparisons do not chain: join two of them with `and`"));
        }
        Ok(Ast::Binary(op, Box::new(left), Box::new(right)))
    }

    fn sum(&mut self) -> Result<Ast, Trouble> {
        self.chain(&[("+", Binary::Add), ("-", Binary::Subtract)], Self::product)
    }

    fn product(&mut self) -> Result<Ast, Trouble> {
        self.chain(&[("*", Binary::Multiply), ("/", Binary::Divide), ("%", Binary::Remainder)], Self::sign)
    }

    fn sign(&mut self) -> Result<Ast, Trouble> {
        let mut negated = 0;
        while self.skip("-") {
            negated += 1;
        }
        let ast = self.power()?;
        Ok(if negated % 2 == 1 { Ast::Neg(Box::new(ast)) } else { ast })
    }

    fn power(&mut self) -> Result<Ast, Trouble> {
        let base = self.atom()?;
        if !(self.skip("**") || self.skip("^")) {
            return Ok(base);
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Trouble::new(&self.here(), format!("nested deeper than {DEPTH_MAX}")));
        }
        let exponent = self.sign()?;
        self.depth -= 1;
        Ok(Ast::Binary(Binary::Power, Box::new(base), Box::new(exponent)))
    }

    fn atom(&mut self) -> Result<Ast, Trouble> {
        let at = self.here();
        let Some(token) = self.tokens.get(self.at) else {
            return Err(Trouble::new(&at, "the expression ends here, and something is missing"));
        };
        self.at += 1;
        match &token.what {
            Lexeme::Number(value) => Ok(Ast::Value(Val::Num(*value))),
            Lexeme::Text(text) => Ok(Ast::Value(Val::Text(text.clone()))),
            Lexeme::Name(name) => match name.as_str() {
                "true" | "True" => Ok(Ast::Value(Val::Bool(true))),
                "false" | "False" => Ok(Ast::Value(Val::Bool(false))),
                "null" | "None" => Ok(Ast::Value(Val::Null)),
                _ if self.skip("(") => self.function(name, &at),
                _ => Ok(Ast::Name(name.clone())),
            },
            Lexeme::Sign("(") => {
                let inner = self.or()?;
                self.expect(")")?;
                Ok(inner)
            }
            Lexeme::Sign(sign) => Err(Trouble::new(&at, format!("expected a value here, not `{sign}`"))),
        }
    }

    fn function(&mut self, name: &str, at: &Range<usize>) -> Result<Ast, Trouble> {
        let Some((_, function)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = FUNCTIONS.iter().map(|(known, _)| *known).collect();
            return Err(Trouble::new(at, format!("there is no function {name:?}; there are {}", known.join(", "))));
        };
        let arguments = self.arguments(")")?;
        let many = matches!(function, Function::Max | Function::Min);
        if arguments.is_empty() || (!many && arguments.len() != 1) {
            let wanted = if many { "at least one value" } else { "one value" };
            return Err(Trouble::new(at, format!("{name} takes {wanted}, and is given {}", arguments.len())));
        }
        Ok(Ast::Call(*function, arguments))
    }

    fn arguments(&mut self, close: &str) -> Result<Vec<Ast>, Trouble> {
        let mut arguments = Vec::new();
        while !self.skip(close) {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.or()?);
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<Val> {
        Some(match name {
            "n" => Val::Num(3.0),
            "opt" => Val::Text("sgd".into()),
            "flag" => Val::Bool(true),
            "hidden[0]" => Val::Num(7.0),
            _ => return None,
        })
    }

    /// `text -> what it comes to`: true, false, absent, or an error.
    fn check(text: &str, expected: &str) {
        let found = match Expr::parse(text) {
            Err(trouble) => format!("{}: {}", trouble.at.start, trouble.what),
            Ok(expr) => match expr.is_true(&lookup) {
                Ok(Some(is)) => is.to_string(),
                Ok(None) => "absent".to_owned(),
                Err(what) => what,
            },
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn expressions() {
        for (text, expected) in [
            ("n == 3", "true"),
            ("n * 2 + 1 <= 7 and not (n > 4)", "true"),
            ("2 ** 3 ** 2 == 512", "true"),
            ("-2 ** 2 == -4", "true"),
            ("7 % 4 - 1 == 2", "true"),
            ("opt in ['sgd', \"adam\"]", "true"),
            ("opt not in ['sgd']", "false"),
            ("opt == 'sgd' && flag || false", "true"),
            ("!flag", "false"),
            ("`hidden[0]` == 7", "true"),
            ("max(n, 10, abs(-2)) == 10", "true"),
            ("1e-3 < .01", "true"),
            ("missing > 1", "absent"),
            ("flag or missing > 1", "true"),
            ("n == '3'", "false"),
            ("null == None", "true"),
            ("n", "`n` comes to 3, not to true or false"),
            ("opt > 3", "\"sgd\" is no number"),
            ("n >", "3: the expression ends here, and something is missing"),
            ("1 < n < 5", "6: comparisons do not chain: join two of them with `and`"),
            ("n @ 3", "2: '@' has no meaning in an expression"),
            (
                "cube(n) > 1",
                "0: there is no function \"cube\"; there are abs, ceil, exp, floor, log, log2, log10, max, min, round, sqrt",
            ),
            ("(n > 1", "6: expected `)` here"),
            ("opt == 'sgd", "7: the text that begins here has no end"),
            ("n n", "2: this does not belong here: an operator is missing before it"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    #[should_panic(expected = "n == 3")]
    fn canary_a_wrong_expectation_is_noticed() {
        check("n == 3", "false");
    }

    #[test]
    fn violations_say_how_far() {
        for (text, expected) in [
            ("n <= 3", Some(0.0)),
            ("n <= 1", Some(2.0)),
            ("n >= 10", Some(7.0)),
            ("n < 3", Some(f64::MIN_POSITIVE)),
            ("n <= 1 and n >= 10", Some(7.0)),
            ("n <= 1 or n >= 2", Some(-1.0)),
            ("opt == 'adam'", Some(1.0)),
            ("missing <= 3", None),
        ] {
            assert_eq!(Expr::parse(text).unwrap().violation(&lookup), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let deep = format!("{}1{} == 1", "(".repeat(1_000), ")".repeat(1_000));
        assert!(Expr::parse(&deep).unwrap_err().what.contains("nested deeper"));
        let towers = format!("{}2 == 1", "2 ** ".repeat(500));
        assert!(Expr::parse(&towers).unwrap_err().what.contains("nested deeper"));
        let long = format!("1{} == 1", " + 1".repeat(10_000));
        assert!(Expr::parse(&long).unwrap_err().what.contains("bytes"));
    }
}
