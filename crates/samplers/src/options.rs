//! Reading a sampler's options: each is taken by name, and what is left over is an error.

use crate::registry::Options;

/// The options on their way into a sampler.
pub(crate) struct Reader<'a> {
    options: &'a Options,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(options: &'a Options) -> Reader<'a> {
        Reader { options, known: Vec::new() }
    }

    /// An option that is there and not null; `read` says whether its value means something.
    pub(crate) fn take<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&serde_json::Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        self.known.push(name);
        match self.options.get(name) {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => Err(format!("option {name} must be {expected}, not {value}")),
            },
        }
    }

    /// A whole number.
    pub(crate) fn count(&mut self, name: &'static str, least: usize) -> Result<Option<usize>, String> {
        self.take(name, &format!("a whole number from {least}"), |value| {
            value.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|&number| number >= least)
        })
    }

    /// A finite number.
    pub(crate) fn number(&mut self, name: &'static str, least: f64) -> Result<Option<f64>, String> {
        self.take(name, &format!("a number from {least}"), |value| value.as_f64().filter(|&number| number >= least))
    }

    /// True or false.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, String> {
        self.take(name, "true or false", serde_json::Value::as_bool)
    }

    /// One of some words.
    pub(crate) fn one_of<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, String> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.take(name, &format!("one of {}", words.join(", ")), |value| {
            let word = value.as_str()?;
            choices.iter().find(|(choice, _)| *choice == word).map(|(_, meaning)| *meaning)
        })
    }

    /// Refuses options that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.options.keys().find(|name| !self.known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) if self.known.is_empty() => Err(format!("there is no option {name}; there are none")),
            Some(name) => Err(format!("there is no option {name}; there are {}", self.known.join(", "))),
        }
    }
}
