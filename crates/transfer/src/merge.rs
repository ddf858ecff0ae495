//! Studies that grew apart on machines without a connection, as one. A merge is a union of sets of finished trials, each of which is known
//! by its origin; so it does not matter in which order, how often and by way of which intermediate merges it is done.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sha2::{Digest as _, Sha256};
use trialog_ops::{
    Budget, ComponentSpec, Direction, Json, RetryPolicy, StudyConfig, Timestamp, TrialNumber, TrialState,
};
use trialog_replay::{StudyView, TrialView};

use crate::content::{Head, Moved};
use crate::error::Error;

/// The system attribute by which a merged trial is known, wherever it goes: 32 hexadecimal digits.
pub const ORIGIN: &str = "trialog:origin";

/// Several studies as one.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The study without its trials.
    pub head: Head,
    /// How many trials were found in more than one of the studies.
    pub shared: usize,
    /// How many trials were left out since they are not finished; the next merge has them.
    pub unfinished: usize,
    studies: Vec<StudyView>,
    /// The trials in their order.
    order: Vec<(Option<Timestamp>, Origin, Place)>,
}

type Origin = [u8; 16];

/// A trial by its study's place in the list and its number there.
type Place = (usize, TrialNumber);

impl Merged {
    /// How many trials there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The trials by the times at which they began and then by origin: what [`write`](crate::write) takes.
    pub fn trials(&self) -> impl Iterator<Item = Moved> {
        self.order.iter().filter_map(|(_, origin, place)| {
            let (_, mut moved) = known(trial(&self.studies, *place)?);
            moved.template.system_attrs.push((ORIGIN.to_owned(), Json::from(hex(*origin).as_str())));
            Some(moved.in_order())
        })
    }
}

fn trial(studies: &[StudyView], (study, number): Place) -> Option<TrialView<'_>> {
    studies.get(study)?.trial(number)
}

/// Which trials are one and the same: those with the same [`ORIGIN`]; without one, those with the same number that began at the same
/// microsecond, or, where no beginning is known, with the same number and content. That is how studies that grew out of copies of one
/// log share what was there before, and how nothing is counted twice that was merged already.
///
/// Where such a trial says different things, having been running when the studies parted or changed since, the one that was decided
/// about more often counts; then the one that got further (complete, pruned, failed); then the later one.
///
/// # Errors
/// [`Error::Directions`] unless all studies have the same objectives.
pub fn merge(studies: &[StudyView]) -> Result<Merged, Error> {
    let heads: Vec<Head> = studies.iter().map(Head::of).collect();
    let words =
        |directions: &[Direction]| directions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let first = heads.first().map(|head| head.directions.clone()).unwrap_or_default();
    for (head, view) in heads.iter().zip(studies) {
        if head.directions != first {
            let other = format!("{:?} does {}", view.name(), words(&head.directions));
            return Err(Error::Directions { first: words(&first), other });
        }
    }
    let mut found: BTreeMap<Origin, Place> = BTreeMap::new();
    let (mut shared, mut unfinished) = (0, 0);
    let all = studies.iter().enumerate().flat_map(|(at, view)| view.trials().map(move |trial| (at, trial)));
    for (at, new) in all {
        if !new.state().is_finished() {
            unfinished += 1;
            continue;
        }
        let (origin, moved) = known(new);
        let place = (at, new.number());
        match found.entry(origin) {
            Entry::Vacant(entry) => _ = entry.insert(place),
            Entry::Occupied(mut entry) => {
                shared += 1;
                let kept = trial(studies, *entry.get()).map(|kept| known(kept).1);
                if kept.is_none_or(|kept| Rank::of(&moved) > Rank::of(&kept)) {
                    entry.insert(place);
                }
            }
        }
    }
    let begin = |place| trial(studies, place).and_then(|trial| trial.start().or(trial.end()));
    let mut order: Vec<_> = found.into_iter().map(|(origin, place)| (begin(place), origin, place)).collect();
    order.sort_unstable();
    Ok(Merged { head: join(&heads, first), shared, unfinished, studies: studies.to_vec(), order })
}

/// The origin of a trial, and the trial without it.
fn known(trial: TrialView<'_>) -> (Origin, Moved) {
    let mut moved = Moved::from(trial);
    let at = moved.template.system_attrs.iter().position(|(key, _)| key == ORIGIN);
    let recorded = at.map(|at| moved.template.system_attrs.remove(at).1);
    if let Some(origin) = recorded.and_then(|origin| unhex(&origin)) {
        return (origin, moved);
    }
    let mut hash = Sha256::new();
    hash.update(trial.number().0.to_le_bytes());
    match moved.template.start {
        Some(start) => hash.update(start.0.to_le_bytes()),
        None => {
            let mut bytes = Vec::new();
            Moved::from(moved.template.clone()).encode(0, &mut bytes);
            hash.update(&bytes);
        }
    }
    let mut origin = [0; 16];
    origin.copy_from_slice(&hash.finalize()[..16]);
    (origin, moved)
}

/// What counts where one trial says different things: an order in which no two different trials are equal.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    changes: usize,
    state: u8,
    end: Option<i64>,
    bytes: Vec<u8>,
}

impl Rank {
    fn of(trial: &Moved) -> Rank {
        let state = match trial.template.state {
            TrialState::Complete => 2,
            TrialState::Pruned => 1,
            _ => 0,
        };
        let mut bytes = Vec::new();
        trial.encode(0, &mut bytes);
        Rank { changes: trial.changes.len(), state, end: trial.template.end.map(|end| end.0), bytes }
    }
}

/// A head that says what all of them say; of different things, the one that comes last in an order of their own.
fn join(heads: &[Head], directions: Vec<Direction>) -> Head {
    let config = |config: &&StudyConfig| {
        let part = |part: &ComponentSpec| (part.name.clone(), part.version, part.options.to_string());
        (part(&config.sampler), part(&config.pruner), config.seed)
    };
    let attrs = |of: fn(&Head) -> &[(String, Json)]| {
        let mut joined: BTreeMap<String, Json> = BTreeMap::new();
        for (key, value) in heads.iter().flat_map(of) {
            let kept = joined.entry(key.clone()).or_insert_with(|| value.clone());
            if value.as_str() > kept.as_str() {
                *kept = value.clone();
            }
        }
        joined.into_iter().collect()
    };
    let budget = |of: fn(&Budget) -> Option<u64>| {
        // No limit is the largest one.
        heads.iter().map(|head| of(&head.budget)).reduce(|a, b| Some(a?.max(b?))).flatten()
    };
    let until = heads.iter().map(|head| head.budget.until).reduce(|a, b| Some(a?.max(b?))).flatten();
    Head {
        directions,
        metric_names: heads.iter().filter_map(|head| head.metric_names.clone()).max(),
        config: heads.iter().filter_map(|head| head.config.as_ref()).max_by_key(config).cloned(),
        budget: Budget { trials: budget(|it| it.trials), finished: budget(|it| it.finished), until },
        retry_policy: RetryPolicy {
            retries_max: heads.iter().map(|head| head.retry_policy.retries_max).max().unwrap_or(0),
            inherit_reports: heads.iter().any(|head| head.retry_policy.inherit_reports),
        },
        user_attrs: attrs(|head| &head.user_attrs),
        system_attrs: attrs(|head| &head.system_attrs),
    }
}

fn hex(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(json: &Json) -> Option<[u8; 16]> {
    let text = json.as_str().strip_prefix('"')?.strip_suffix('"')?;
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
