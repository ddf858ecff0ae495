//! Quasi-random search: the points of the sequence, one for each trial, whoever asks.

use trialog_ops::{Distribution, TrialNumber};
use trialog_samplers::{Qmc, QmcOptions, QmcType, Sampler, from_spec};

use crate::parzen::distribution;
use crate::study::Study;

const TYPES: [QmcType; 2] = [QmcType::Sobol, QmcType::Halton];

fn study(space: &[(&str, Distribution)]) -> Study {
    let mut study = Study::minimize();
    // They are met in this order, which is not that of their names.
    let params: Vec<_> = space.iter().map(|(name, d)| (*name, d, d.single().unwrap_or(1.0))).collect();
    study.tell(&params, &[0.0]);
    study
}

#[test]
fn plain_points_are_the_sequence() {
    let unit = distribution("float 0 1 0 0");
    let view = study(&[("z", unit.clone()), ("a", unit.clone())]).view();
    let sampler = Qmc::new(QmcOptions { qmc_type: QmcType::Sobol, scramble: false });
    let point = |number| -> Vec<f64> {
        sampler.sample_relative(&view, TrialNumber(number), 0).into_iter().map(|proposal| proposal.2).collect()
    };
    // SciPy 1.17.1, `Sobol(2, scramble=False)`; `a` comes first, and has the second dimension.
    assert_eq!([point(0), point(1), point(2), point(3)], [[0.0, 0.0], [0.5, 0.5], [0.25, 0.75], [0.75, 0.25]]);
    let alone = |name| sampler.sample_independent(&view, TrialNumber(2), 0, name, &unit);
    assert_eq!([alone("a"), alone("z"), alone("new")], [0.25, 0.75, 0.25]);
}

#[test]
fn every_value_of_a_grid_has_its_share() {
    let space = [
        ("i", distribution("int 1 4 0 1")),
        ("s", distribution("float 0 1 0 0.25")),
        ("c", distribution("categorical 8")),
        ("l", distribution("float 1 16 1 0")),
    ];
    let view = study(&space).view();
    for qmc_type in TYPES {
        let sampler = Qmc::new(QmcOptions { qmc_type, scramble: true });
        let mut counts = [const { Vec::new() }; 4];
        for number in 0..512 {
            for (_, def, value) in sampler.sample_relative(&view, TrialNumber(number), 5) {
                let at = space.iter().position(|(name, _)| *name == def.name).unwrap();
                let cell = if at == 3 { value.log2().floor() } else { value };
                counts[at].push(cell);
            }
        }
        for (mut cells, (name, different)) in counts.into_iter().zip([("i", 4), ("s", 5), ("c", 8), ("l", 4)]) {
            cells.sort_by(f64::total_cmp);
            let runs: Vec<usize> = cells.chunk_by(|a, b| a == b).map(<[f64]>::len).collect();
            assert_eq!(runs.len(), different, "{name}");
            let even = 512.0 / different as f64;
            assert!(runs.iter().all(|&run| (run as f64 - even).abs() < 6.0), "{name}: {runs:?}");
        }
    }
}

#[test]
fn what_was_kept_does_not_matter() {
    let unit = distribution("float 0 1 0 0");
    let view = study(&[("z", unit.clone()), ("a", unit.clone())]).view();
    for qmc_type in TYPES {
        let keeping = Qmc::new(QmcOptions { qmc_type, scramble: true });
        let mut seen = Vec::new();
        for number in (0..50).map(TrialNumber) {
            let proposals = keeping.sample_relative(&view, number, 9);
            let fresh = from_spec(&keeping.spec()).unwrap();
            assert_eq!(proposals, fresh.sample_relative(&view, number, 9));
            assert_ne!(proposals, keeping.sample_relative(&view, number, 10), "another seed");
            assert_eq!(proposals, keeping.sample_relative(&view, number, 9));
            let alone = fresh.sample_independent(&view, number, 9, "a", &unit);
            assert_eq!(proposals[0].2, alone);
            seen.push(proposals[0].2);
            keeping.drop_caches();
        }
        seen.sort_by(f64::total_cmp);
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "two trials have one point");
    }
}

/// Parameters beyond the table are drawn at random, and are valid.
#[test]
fn there_may_be_more_parameters_than_dimensions() {
    let unit = distribution("float 0 1 0 0");
    let names: Vec<String> = (0..1003).map(|at| format!("p{at:04}")).collect();
    let space: Vec<(&str, Distribution)> = names.iter().map(|name| (name.as_str(), unit.clone())).collect();
    let view = study(&space).view();
    let proposals = Qmc::default().sample_relative(&view, TrialNumber(3), 0);
    assert_eq!(proposals.len(), 1003);
    assert!(proposals.iter().all(|(_, def, value)| def.distribution.contains(*value)));
    assert_ne!(proposals[1001].2, proposals[1002].2);
}
