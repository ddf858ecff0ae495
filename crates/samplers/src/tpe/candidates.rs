//! What a suggestion was chosen from: the same points again, each with its score, by the plain computation.

use trialog_numerics::Stream;
use trialog_ops::{Distribution, TrialNumber};
use trialog_replay::{Over, StudyView};

use super::Tpe;
use crate::parzen::Density;
use crate::random::settle;
use crate::{Asked, Candidate, stream_for};

impl Tpe {
    /// The points that were drawn for this suggestion. Those of parameters that are modelled apart follow one another.
    pub(super) fn weighed(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        asked: Asked<'_>,
    ) -> Vec<Candidate> {
        if self.is_starting(view) {
            return Vec::new();
        }
        let alone = |name: &str, distribution: &Distribution| {
            if distribution.is_single() {
                return Vec::new();
            }
            self.weigh(view, number, stream_for(seed, number, "tpe", name), &[(name, distribution)])
        };
        if let Asked::Alone(name, distribution) = asked {
            return alone(name, distribution);
        }
        if self.options.group {
            let groups = self.groups.of(view);
            let of_group = |group: &Vec<crate::space::SpaceParam>| {
                let space: Vec<_> = group.iter().map(|(_, def)| (def.name.as_str(), &def.distribution)).collect();
                let names: Vec<&str> = space.iter().map(|(name, _)| *name).collect();
                self.weigh(view, number, stream_for(seed, number, "tpe", &names.join("\n")), &space)
            };
            return groups.iter().flat_map(of_group).collect();
        }
        let params: Vec<_> = view.joint_params(Over::CompleteAndPruned).collect();
        let space: Vec<_> = params.iter().map(|(_, def)| (def.name.as_str(), &def.distribution)).collect();
        if space.is_empty() {
            return Vec::new();
        }
        if self.is_multivariate(view) {
            return self.weigh(view, number, stream_for(seed, number, "tpe", ""), &space);
        }
        space.into_iter().flat_map(|(name, distribution)| alone(name, distribution)).collect()
    }

    fn weigh(
        &self,
        view: &StudyView,
        number: TrialNumber,
        mut stream: Stream,
        space: &[(&str, &Distribution)],
    ) -> Vec<Candidate> {
        let drawn = self.drawn(view, &mut stream, space);
        let (points, above) = (&drawn.points, self.above(view, &drawn, number));
        let (below, above) = (Density::new(&drawn.below), Density::new(&above));
        let chosen = above.largest_log_ratio(&below, points);
        let scores = below.log_densities(points).into_iter().zip(above.log_densities(points));
        let candidates = points.iter().zip(scores).enumerate().map(|(at, (point, (good, other)))| {
            let values = point.iter().zip(space).map(|(value, (name, distribution))| {
                ((*name).to_owned(), distribution.to_external(settle(distribution, *value)))
            });
            Candidate { values: values.collect(), score: good - other, chosen: at == chosen }
        });
        candidates.collect()
    }
}
