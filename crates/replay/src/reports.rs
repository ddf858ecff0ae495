//! The intermediate values of one trial: one slice by rising step, with room at both ends, so that steps may rise
//! or fall without everything being moved each time.

/// Values by rising step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports {
    /// What lies before `first` is free.
    entries: Vec<(u64, f64)>,
    first: usize,
}

impl Reports {
    /// Entries that come by rising step.
    pub(crate) fn from_sorted(entries: Vec<(u64, f64)>) -> Reports {
        Reports { entries, first: 0 }
    }

    pub(crate) fn as_slice(&self) -> &[(u64, f64)] {
        &self.entries[self.first..]
    }

    /// Puts a value at its step, where it replaces an earlier one.
    pub(crate) fn report(&mut self, step: u64, value: f64) {
        // Most steps rise.
        let is_behind_all = self.as_slice().last().is_none_or(|&(last, _)| last < step);
        if is_behind_all {
            self.entries.push((step, value));
            return;
        }
        match self.as_slice().binary_search_by_key(&step, |&(step, _)| step) {
            Ok(at) => self.set(at, value),
            Err(at) => self.insert(at, (step, value)),
        }
    }

    pub(crate) fn set(&mut self, at: usize, value: f64) {
        self.entries[self.first + at].1 = value;
    }

    /// Puts an entry before the one at `at`, and moves those on the shorter side.
    pub(crate) fn insert(&mut self, at: usize, entry: (u64, f64)) {
        let len = self.as_slice().len();
        if at >= len / 2 + len % 2 {
            self.entries.insert(self.first + at, entry);
            return;
        }
        if self.first == 0 {
            self.first = len;
            self.entries.splice(0..0, std::iter::repeat_n((0, 0.0), len));
        }
        self.entries.copy_within(self.first..self.first + at, self.first - 1);
        self.first -= 1;
        self.entries[self.first + at] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_vector(places in prop::collection::vec((0..4u8, any::<prop::sample::Index>()), 0..200)) {
            let (mut reports, mut plain) = (Reports::default(), Vec::new());
            for (index, (end, place)) in places.into_iter().enumerate() {
                let entry = (index as u64, index as f64);
                let at = match end {
                    0 | 1 => 0,
                    2 => plain.len(),
                    _ => place.index(plain.len() + 1),
                };
                reports.insert(at, entry);
                plain.insert(at, entry);
                reports.set(at / 2, -1.0);
                plain[at / 2].1 = -1.0;
                prop_assert_eq!(reports.as_slice(), &plain);
            }
        }
    }
}
