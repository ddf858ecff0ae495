//! Every combination of values once, over spaces with conditions too: what a trial asks for may depend on what it got.
//!
//! The trials so far are a tree: at each node the next parameter, a branch for each of its values, and a leaf where a
//! trial ended. A branch is done if its leaf is there or all of its branches are. The log does not say in which order a
//! trial asked for its parameters, but any order gives the same answer to whether a branch is done, as long as every
//! trial below a node has the node's parameter; so nodes are rearranged as trials show how they ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_numerics::{Stream, hash_bytes};
use trialog_ops::{ComponentSpec, Distribution, Json, OptionReader, TrialNumber};
use trialog_replay::{StudyView, TrialView};

use crate::follow::Follower;
use crate::random::{draw, settle};
use crate::registry::Options;
use crate::{Proposal, Sampler, stream};

/// Up to so many values are compared with each other; of more some are tried at random.
const VALUES_MAX: f64 = 1024.0;
const TRIES: usize = 64;

/// Every combination once. Floats need a step; without one there is no end to them, and they are drawn at random.
#[derive(Debug, Default)]
pub struct BruteForce {
    avoid_premature_stop: bool,
    kept: Follower<Tree>,
}

/// All finished trials. The first node is the root.
#[derive(Clone, Debug)]
struct Tree {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// A trial that ended here.
    leaf: Option<u32>,
    split: Option<Split>,
    /// At least so many leaves are missing below.
    missing: f64,
}

#[derive(Clone, Debug)]
struct Split {
    name: Arc<str>,
    /// How many values there are.
    size: f64,
    /// By the bits of the value.
    branches: BTreeMap<u64, usize>,
}

/// One parameter of a trial.
struct Param {
    name: Arc<str>,
    value: f64,
    size: f64,
}

impl BruteForce {
    /// The sampler. If a premature stop is to be avoided, `optimize` goes on until all trials have ended that there can
    /// be; otherwise running ones count, so that one that never ends cannot keep it going.
    #[must_use]
    pub fn new(avoid_premature_stop: bool) -> BruteForce {
        BruteForce { avoid_premature_stop, kept: Follower::default() }
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<BruteForce, String> {
        let mut reader = OptionReader::new(options);
        let avoid = reader.flag("avoid_premature_stop")?.unwrap_or(false);
        reader.finish()?;
        Ok(BruteForce::new(avoid))
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        self.kept.clear();
    }

    fn look<R>(&self, view: &StudyView, read: impl FnOnce(&mut Tree) -> R) -> R {
        let begin = || Tree { nodes: vec![Node { missing: 1.0, ..Node::default() }] };
        let absorb = |tree: &mut Tree, trial: TrialView<'_>| tree.insert(view, trial.number());
        self.kept.look(view, |_| true, begin, absorb, read)
    }
}

/// The parameters of a trial in the order in which the study met them, which is mostly that in which it asked.
fn params(view: &StudyView, number: TrialNumber) -> Vec<Param> {
    let param = |column: trialog_replay::ParamColumn<'_>| {
        let (value, distribution) = (column.value(number)?, column.distribution(number)?);
        Some(Param { name: Arc::from(column.name()), value, size: size(distribution) })
    };
    view.params_as_met().filter_map(param).collect()
}

/// How many values there are.
fn size(distribution: &Distribution) -> f64 {
    match distribution {
        _ if distribution.is_single() => 1.0,
        Distribution::Float(d) => {
            d.step().map_or(f64::INFINITY, |step| ((d.high() - d.low()) / step).round() + 1.0)
        }
        Distribution::Int(d) => ((d.high() - d.low()) / d.step() + 1) as f64,
        Distribution::Categorical(d) => d.choices().len() as f64,
    }
}

/// The value with this index.
fn value(distribution: &Distribution, index: f64) -> f64 {
    let value = match distribution {
        Distribution::Float(d) => d.low() + index * d.step().unwrap_or(0.0),
        Distribution::Int(d) => (d.low() + index as i64 * d.step()) as f64,
        Distribution::Categorical(_) => index,
    };
    settle(distribution, value)
}

impl Tree {
    fn is_done(&self, node: usize) -> bool {
        self.nodes[node].missing == 0.0
    }

    fn insert(&mut self, view: &StudyView, number: TrialNumber) {
        self.insert_below(view, 0, params(view, number), number);
    }

    /// Adds a trial below a node, with the parameters that are not on the way there.
    fn insert_below(&mut self, view: &StudyView, top: usize, mut rest: Vec<Param>, number: TrialNumber) {
        let mut way = vec![top];
        let mut at = top;
        loop {
            if rest.is_empty() || self.nodes[at].leaf.is_some() {
                // A trial that goes on where another ended says that the objective changes its mind.
                self.nodes[at].leaf.get_or_insert(number.0);
                break;
            }
            let split = self.nodes[at].split.get_or_insert_with(|| Split {
                name: Arc::clone(&rest[0].name),
                size: rest[0].size,
                branches: BTreeMap::new(),
            });
            let Some(place) = rest.iter().position(|param| param.name == split.name) else {
                let mut below = self.trials(at);
                below.push(number);
                match self.common(view, &below, &rest) {
                    Some(name) => self.rearrange(view, at, &name, &below),
                    None => self.nodes[at].leaf = Some(number.0),
                }
                break;
            };
            let Param { value, size, .. } = rest.remove(place);
            // Ranges may change; the largest one is what there is to see.
            split.size = split.size.max(size);
            let next = split.branches.get(&value.to_bits()).copied();
            at = next.unwrap_or_else(|| {
                let new = self.nodes.len();
                if let Some(split) = &mut self.nodes[at].split {
                    split.branches.insert(value.to_bits(), new);
                }
                self.nodes.push(Node { missing: 1.0, ..Node::default() });
                new
            });
            way.push(at);
        }
        way.into_iter().rev().for_each(|node| self.count(node));
    }

    /// Counts again what is missing below a node.
    fn count(&mut self, node: usize) {
        let missing = match &self.nodes[node] {
            Node { leaf: Some(_), .. } => 0.0,
            Node { split: Some(split), .. } => {
                let below: f64 = split.branches.values().map(|&branch| self.nodes[branch].missing).sum();
                below + (split.size - split.branches.len() as f64).max(0.0)
            }
            Node { .. } => 1.0,
        };
        self.nodes[node].missing = missing;
    }

    /// The trials that ended below a node, of equal ones the first.
    fn trials(&self, node: usize) -> Vec<TrialNumber> {
        let (mut found, mut open) = (Vec::new(), vec![node]);
        while let Some(node) = open.pop() {
            found.extend(self.nodes[node].leaf.map(TrialNumber));
            open.extend(self.nodes[node].split.iter().flat_map(|split| split.branches.values()));
        }
        found.sort_unstable();
        found
    }

    /// The first of the parameters that all these trials have.
    fn common(&self, view: &StudyView, trials: &[TrialNumber], params: &[Param]) -> Option<Arc<str>> {
        let has_all = |param: &&Param| {
            let column = view.param(&param.name);
            column.is_some_and(|column| trials.iter().all(|&number| column.value(number).is_some()))
        };
        params.iter().find(has_all).map(|param| Arc::clone(&param.name))
    }

    /// Makes the parameter the next one after a node. The nodes that were below it stay behind unused.
    fn rearrange(&mut self, view: &StudyView, node: usize, name: &Arc<str>, trials: &[TrialNumber]) {
        let above = self.above(node);
        self.nodes[node] = Node { missing: 1.0, ..Node::default() };
        for &number in trials {
            let mut rest = params(view, number);
            rest.retain(|param| !above.contains(&param.name));
            if self.nodes[node].split.is_none() {
                let first = rest.iter().find(|param| param.name == *name);
                self.nodes[node].split = first.map(|param| Split {
                    name: Arc::clone(name),
                    size: param.size,
                    branches: BTreeMap::new(),
                });
            }
            self.insert_below(view, node, rest, number);
        }
    }

    /// The names of the parameters on the way to a node.
    fn above(&self, node: usize) -> Vec<Arc<str>> {
        let mut open = vec![(0, Vec::new())];
        while let Some((at, names)) = open.pop() {
            if at == node {
                return names;
            }
            if let Some(split) = &self.nodes[at].split {
                let names = [&names[..], std::slice::from_ref(&split.name)].concat();
                open.extend(split.branches.values().map(|&branch| (branch, names.clone())));
            }
        }
        Vec::new()
    }

    /// The branches of the node at which a trial with these parameters asks for another one, if any trial was there.
    fn node(&mut self, view: &StudyView, has: &BTreeMap<&str, f64>, asked: &str) -> Option<usize> {
        let (mut at, mut rest) = (0, has.clone());
        loop {
            let split = self.nodes[at].split.as_ref()?;
            if let Some(value) = rest.remove(&*split.name) {
                at = *split.branches.get(&value.to_bits())?;
                continue;
            }
            if &*split.name == asked && rest.is_empty() {
                return Some(at);
            }
            // Here a trial asks in another order than the tree thought.
            let trials = self.trials(at);
            let wanted = |name: &&str| rest.contains_key(*name) || (rest.is_empty() && *name == asked);
            let names: Vec<Param> = view
                .params_as_met()
                .map(trialog_replay::ParamColumn::name)
                .filter(wanted)
                .map(|name| Param { name: Arc::from(name), value: 0.0, size: 0.0 })
                .collect();
            let next = self.common(view, &trials, &names)?;
            self.rearrange(view, at, &next, &trials);
            self.nodes[at].split.as_ref().filter(|split| split.name == next)?;
        }
    }
}

impl Sampler for BruteForce {
    fn spec(&self) -> ComponentSpec {
        let options = Json::from(serde_json::json!({ "avoid_premature_stop": self.avoid_premature_stop }));
        ComponentSpec { name: "brute_force".to_owned(), version: 1, options }
    }

    /// Nothing: which parameters there are is known when they are asked for.
    fn sample_relative(&self, _view: &StudyView, _number: TrialNumber, _seed: u64) -> Vec<Proposal> {
        Vec::new()
    }

    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        let mut stream = stream(seed, number, name);
        let size = size(distribution);
        if size.is_infinite() {
            return draw(&mut stream, distribution);
        }
        let has: BTreeMap<&str, f64> = view
            .trial(number)
            .into_iter()
            .flat_map(TrialView::params)
            .filter(|(known, ..)| *known != name)
            .map(|(name, _, value)| (name, value))
            .collect();
        // What other running trials have here, and which of them come to this question before this one.
        let (mut claimed, mut before) = (Vec::new(), Vec::new());
        for trial in view.running().filter(|trial| trial.number() != number) {
            if has.iter().all(|(name, value)| trial.param(name) == Some(*value)) {
                match trial.param(name) {
                    Some(value) => claimed.push(value.to_bits()),
                    None if trial.number() < number && trial.params().count() == has.len() => {
                        before.push(trial.number());
                    }
                    None => {}
                }
            }
        }
        self.look(view, |tree| {
            let node = tree.node(view, &has, name);
            let branches = node.and_then(|node| tree.nodes[node].split.as_ref()).map(|split| &split.branches);
            let is_done = |value: f64| {
                branches.and_then(|branches| branches.get(&value.to_bits())).is_some_and(|&node| tree.is_done(node))
            };
            if size > VALUES_MAX {
                let mut drawn = (0..TRIES).map(|_| draw(&mut stream, distribution)).collect::<Vec<f64>>();
                drawn.sort_by_key(|&value| (is_done(value), claimed.contains(&value.to_bits())));
                return drawn[0];
            }
            let mut open: Vec<f64> =
                (0..size as u64).map(|index| value(distribution, index as f64)).filter(|v| !is_done(*v)).collect();
            // Values that nobody is at come first, as long as there are some.
            let free: Vec<f64> = open.iter().copied().filter(|value| !claimed.contains(&value.to_bits())).collect();
            if !free.is_empty() {
                open = free;
            }
            // Each trial has its own preferences, which do not depend on what else there is, so that trials that come
            // here at the same time know of each other what they take.
            let favourite = |open: &[f64], number: TrialNumber| {
                let preference = |value: &f64| {
                    let key = [seed, u64::from(number.0), hash_bytes(name.as_bytes()), value.to_bits()];
                    Stream::new(&key).next_u64()
                };
                (0..open.len()).max_by_key(|&at| preference(&open[at]))
            };
            for number in before {
                if open.len() > 1
                    && let Some(taken) = favourite(&open, number)
                {
                    open.swap_remove(taken);
                }
            }
            match favourite(&open, number) {
                Some(at) => open[at],
                None => draw(&mut stream, distribution),
            }
        })
    }

    fn is_exhausted(&self, view: &StudyView) -> bool {
        self.look(view, |tree| {
            if view.ended_count() == 0 {
                return false;
            }
            let running: Vec<TrialNumber> = view.running().map(TrialView::number).collect();
            if self.avoid_premature_stop || tree.nodes[0].missing > running.len() as f64 {
                return tree.is_done(0);
            }
            let mut tree = tree.clone();
            running.into_iter().for_each(|number| tree.insert(view, number));
            tree.is_done(0)
        })
    }
}
