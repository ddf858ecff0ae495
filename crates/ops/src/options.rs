//! A component's options on their way out of a log: each is taken by name, and what is left over is an error.

use serde_json::Value;

use crate::{ComponentSpec, Options};

/// Takes options by name, and refuses what nobody asked for.
#[derive(Debug)]
pub struct OptionReader<'a> {
    options: &'a Options,
    taken: Vec<&'static str>,
}

impl<'a> OptionReader<'a> {
    /// Nothing is taken yet.
    #[must_use]
    pub fn new(options: &'a Options) -> OptionReader<'a> {
        OptionReader { options, taken: Vec::new() }
    }

    /// An option that is there and not null; `read` says whether its value means something.
    ///
    /// # Errors
    /// It means nothing; the message has what was `expected`.
    pub fn take<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        self.taken.push(name);
        let Some(value) = self.options.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(format!("option {name} must be {expected}, not {value}")),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is none, is less than that, or does not fit.
    pub fn count<T: TryFrom<u64>>(&mut self, name: &'static str, least: u64) -> Result<Option<T>, String> {
        self.take(name, &format!("a whole number from {least}"), |value| {
            value.as_u64().filter(|&number| number >= least)?.try_into().ok()
        })
    }

    /// A number.
    ///
    /// # Errors
    /// It is none, or less than that.
    pub fn number(&mut self, name: &'static str, least: f64) -> Result<Option<f64>, String> {
        self.take(name, &format!("a number from {least}"), |value| value.as_f64().filter(|&number| number >= least))
    }

    /// True or false.
    ///
    /// # Errors
    /// It is neither.
    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, String> {
        self.take(name, "true or false", Value::as_bool)
    }

    /// One of some words.
    ///
    /// # Errors
    /// It is none of them.
    pub fn one_of<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Result<Option<T>, String> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.take(name, &format!("one of {}", words.join(", ")), |value| {
            let word = value.as_str()?;
            choices.iter().find(|(choice, _)| *choice == word).map(|(_, meaning)| *meaning)
        })
    }

    /// Another component, such as the pruner inside of another one.
    ///
    /// # Errors
    /// It is not what [`ComponentSpec::from_value`] reads.
    pub fn component(&mut self, name: &'static str) -> Result<Option<ComponentSpec>, String> {
        self.take(name, "an object of name, version and options", ComponentSpec::from_value)
    }

    /// Refuses options that nobody asked for.
    ///
    /// # Errors
    /// There is one.
    pub fn finish(self) -> Result<(), String> {
        match self.options.keys().find(|name| !self.taken.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) if self.taken.is_empty() => Err(format!("there is no option {name}; there are none")),
            Some(name) => Err(format!("there is no option {name}; there are {}", self.taken.join(", "))),
        }
    }
}
