//! Which parameters belong together: the ones that all finished trials share, and groups of them that always occur
//! together. All samplers that model parameters jointly take them from here.

use std::sync::Arc;

use trialog_ops::{ParamDef, ParamKey, TrialState};
use trialog_replay::{Over, StudyView, TrialView};

use crate::follow::Follower;

/// A parameter of a space: how to refer to it, its name, and what it is drawn from.
pub type SpaceParam = (ParamKey, Arc<ParamDef>);

/// The parameters that all finished trials have with equal distributions, by name, but for those that can have one
/// value only: the intersection space.
#[must_use]
pub fn joint(view: &StudyView, over: Over) -> Vec<SpaceParam> {
    let shared = view.joint_params(over).filter(|(_, def)| !def.distribution.is_single());
    shared.map(|(key, def)| (key, Arc::clone(def))).collect()
}

/// The finest division of the parameters into groups such that every complete or pruned trial has all of a group or
/// nothing of it. In a space with conditions these are its branches; without any there is one group.
#[derive(Debug, Default)]
pub struct Groups {
    kept: Follower<Arc<Vec<Vec<Arc<str>>>>>,
}

impl Groups {
    /// The groups by their first names, each by name. A parameter has the distribution of its first use.
    #[must_use]
    pub fn of(&self, view: &StudyView) -> Vec<Vec<SpaceParam>> {
        let names = self.kept.look(view, |_| true, Arc::default, refine, |names| Arc::clone(names));
        let param = |name: &Arc<str>| {
            let (key, def) = view.param(name)?.first();
            Some((key, Arc::clone(def)))
        };
        names.iter().map(|group| group.iter().filter_map(param).collect()).collect()
    }

    /// Forgets what was kept to save time.
    pub fn clear(&self) {
        self.kept.clear();
    }
}

/// Divides the groups that the trial has in part, and adds a group of what no trial before it had.
fn refine(groups: &mut Arc<Vec<Vec<Arc<str>>>>, trial: TrialView<'_>) {
    if !matches!(trial.state(), TrialState::Complete | TrialState::Pruned) {
        return;
    }
    let mut names: Vec<&str> = trial.params().map(|(name, ..)| name).collect();
    let has = |group: &[Arc<str>]| group.iter().filter(|name| names.binary_search(&&***name).is_ok()).count();
    let counts: Vec<usize> = groups.iter().map(|group| has(group)).collect();
    let whole = groups.iter().zip(&counts).all(|(group, &count)| count == 0 || count == group.len());
    if whole && counts.iter().sum::<usize>() == names.len() {
        return;
    }
    let mut refined = Vec::with_capacity(groups.len() + 1);
    for group in groups.iter() {
        let (inside, outside): (Vec<_>, Vec<_>) =
            group.iter().cloned().partition(|name| names.binary_search(&&**name).is_ok());
        names.retain(|name| !inside.iter().any(|known| &**known == *name));
        // What was taken out of `names` is in this group only, so later groups are divided as before.
        refined.extend([inside, outside].into_iter().filter(|part| !part.is_empty()));
    }
    if !names.is_empty() {
        refined.push(names.into_iter().map(Arc::from).collect());
    }
    refined.sort();
    *groups = Arc::new(refined);
}

#[cfg(test)]
mod tests {
    use trialog_ops::{
        Direction, Distribution, Op, Param, ParamRef, Record, SessionId, SessionRef, StudyId, Timestamp,
        TrialTemplate,
    };
    use trialog_replay::State;

    use super::*;

    /// The groups after each of the trials, whose parameters are letters.
    fn check(trials: &[&str], expected: &[&str]) {
        let mut state = State::new();
        let mut counter = 0;
        let mut apply = |op: Op| {
            counter += 1;
            let session = SessionRef::Id(SessionId([1; 16]));
            state.apply(&Record { session, counter, ops: vec![op] }, &mut Vec::new());
            state.view(StudyId(0))
        };
        apply(Op::CreateStudy { name: "s".to_owned(), directions: vec![Direction::Minimize], config: None });
        let (groups, mut found, mut views) = (Groups::default(), Vec::new(), Vec::new());
        for trial in trials {
            let letters = trial.trim_start_matches('-');
            let fails = letters.len() < trial.len();
            let mut template = TrialTemplate::new(if fails { TrialState::Fail } else { TrialState::Pruned });
            template.end = Some(Timestamp(0));
            let distribution = Distribution::float(0.0, 1.0).expect("a range");
            let def = |letter: char| ParamDef { name: letter.to_string(), distribution: distribution.clone() };
            let param = |letter| Param { param: ParamRef::Def(Box::new(def(letter))), value: 0.5 };
            template.params = letters.chars().map(param).collect();
            let view = apply(Op::AddTrial { study: StudyId(0), template: Box::new(template) });
            let view = view.expect("it was made");
            let names =
                |group: &Vec<SpaceParam>| group.iter().map(|(_, def)| def.name.as_str()).collect::<String>();
            let text = |groups: &Groups| groups.of(&view).iter().map(names).collect::<Vec<_>>().join(" ");
            found.push(text(&groups));
            assert_eq!(text(&Groups::default()), text(&groups), "whether anything was kept matters");
            views.push((view.clone(), text(&groups)));
        }
        assert_eq!(found, expected);
        // An older view has its own answer.
        for (view, text) in views.iter().rev() {
            let names =
                |group: &Vec<SpaceParam>| group.iter().map(|(_, def)| def.name.as_str()).collect::<String>();
            assert_eq!(groups.of(view).iter().map(names).collect::<Vec<_>>().join(" "), *text);
        }
    }

    #[test]
    fn groups_are_what_always_occurs_together() {
        check(&["ab", "ab", "abc"], &["ab", "ab", "ab c"]);
        check(&["mxy", "mz", "mxy", "m"], &["mxy", "m xy z", "m xy z", "m xy z"]);
        check(&["-ab", "abcd", "bd", "ce", ""], &["", "abcd", "ac bd", "a bd c e", "a bd c e"]);
    }

    #[test]
    #[should_panic(expected = "ab c")]
    fn canary() {
        check(&["ab", "abc"], &["ab", "abc"]);
    }
}
