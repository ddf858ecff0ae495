//! What a sampler works out from finished trials, one after another in the order in which they ended, and keeps
//! between calls. Whatever is kept here can be dropped at any moment: the answer is what a fold over all of them gives.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use trialog_ops::StudyId;
use trialog_replay::{Lineage, StudyView, TrialView};

/// A fold over the finished trials of one study at a time.
pub(crate) struct Follower<T> {
    kept: Mutex<Option<Kept<T>>>,
}

struct Kept<T> {
    lineage: Lineage,
    study: StudyId,
    latest: Fold<T>,
    /// A few trials behind, for threads whose view is a little older.
    earlier: Fold<T>,
}

#[derive(Clone)]
struct Fold<T> {
    /// How many trials it has seen.
    seen: usize,
    value: T,
}

impl<T> Default for Follower<T> {
    fn default() -> Follower<T> {
        Follower { kept: Mutex::new(None) }
    }
}

impl<T> fmt::Debug for Follower<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follower")
    }
}

/// `earlier` is renewed after so many trials, and after a part of all of them, so that its copies cost little each.
const COPY_AFTER: usize = 64;
const COPY_AFTER_PART: usize = 16;

impl<T: Clone> Follower<T> {
    /// What `read` says of the fold over all trials that have ended in the view. A fold that is not `fit`, being one
    /// of another question, begins anew. `read` may rearrange what it sees, but not change what it means.
    pub(crate) fn look<R>(
        &self,
        view: &StudyView,
        fit: impl Fn(&T) -> bool,
        begin: impl Fn() -> T,
        mut absorb: impl FnMut(&mut T, TrialView<'_>),
        read: impl FnOnce(&mut T) -> R,
    ) -> R {
        let mut advance = |fold: &mut Fold<T>| {
            view.ended_after(fold.seen).for_each(|trial| absorb(&mut fold.value, trial));
            fold.seen = view.ended_count();
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = kept
            .as_mut()
            .filter(|kept| kept.study == view.id() && kept.lineage == *view.lineage() && fit(&kept.latest.value));
        if let Some(kept) = usable {
            if kept.latest.seen <= view.ended_count() {
                advance(&mut kept.latest);
                let behind = kept.latest.seen - kept.earlier.seen;
                if behind >= COPY_AFTER.max(kept.latest.seen / COPY_AFTER_PART) {
                    kept.earlier = kept.latest.clone();
                }
                return read(&mut kept.latest.value);
            }
            if kept.earlier.seen <= view.ended_count() {
                let mut fold = kept.earlier.clone();
                advance(&mut fold);
                return read(&mut fold.value);
            }
        }
        let mut fold = Fold { seen: 0, value: begin() };
        advance(&mut fold);
        let kept = kept.insert(Kept {
            lineage: view.lineage().clone(),
            study: view.id(),
            earlier: fold.clone(),
            latest: fold,
        });
        read(&mut kept.latest.value)
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
