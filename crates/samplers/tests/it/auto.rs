//! What `auto` chooses, that it says so, and that nothing it keeps matters.

use trialog_ops::{Direction, Distribution, TrialNumber, TrialState};
use trialog_samplers::{Auto, Gp, Sampler, Tpe};

use crate::parzen::distribution;
use crate::study::{Study, template};

/// A study with so many complete trials.
fn study(objectives: usize, n: u32, space: &[(&str, &Distribution)]) -> Study {
    let mut study = Study::new(&vec![Direction::Minimize; objectives]);
    for k in 0..n {
        let params: Vec<_> = space
            .iter()
            .enumerate()
            .map(|(at, (name, d))| {
                let value = match d {
                    Distribution::Categorical(_) => f64::from(k % 2),
                    _ => f64::from((k * 37 + at as u32 * 11) % 101) / 101.0,
                };
                (*name, *d, value)
            })
            .collect();
        let loss = params.iter().map(|(.., value)| (value - 0.3).powi(2)).sum();
        study.tell(&params, &vec![loss; objectives]);
    }
    study
}

fn choice(study: &Study) -> String {
    let said = Auto::new().unwrap().explain(&study.view()).unwrap();
    said.split(':').next().unwrap().to_owned()
}

#[test]
fn it_chooses_by_what_there_is() {
    let (unit, category) = (distribution("float 0 1 0 0"), distribution("categorical 2"));
    let numbers = [("x", &unit), ("y", &unit)];
    let mixed = [("x", &unit), ("c", &category)];
    for (objectives, n, space, expected) in [
        (1, 0, &numbers, "qmc"),
        (1, 9, &numbers, "qmc"),
        (1, 10, &numbers, "gp and tpe"),
        (1, 59, &numbers, "gp and tpe"),
        (1, 60, &numbers, "cmaes"),
        (1, 249, &mixed, "gp and tpe"),
        (1, 250, &mixed, "tpe"),
        (2, 100, &numbers, "gp and nsga2"),
        (2, 250, &numbers, "nsga2"),
        (4, 100, &numbers, "tpe"),
        (4, 250, &mixed, "nsga3"),
    ] {
        assert_eq!(choice(&study(objectives, n, space)), expected, "{objectives} {n}");
    }
    for (n, expected) in [(20, "gp and tpe"), (300, "tpe")] {
        let mut conditional = study(1, n, &numbers);
        conditional.tell(&[("x", &unit, 0.5)], &[0.0]);
        assert_eq!(choice(&conditional), expected, "{n}");
    }
    let mut constrained = study(1, 300, &numbers);
    let mut trial = template(TrialState::Pruned, &[("x", &unit, 0.5), ("y", &unit, 0.5)]);
    trial.constraints = vec![("c".to_owned(), 1.0)];
    constrained.add(trial);
    assert_eq!(choice(&constrained), "tpe");
    // Populations learn slowly where a part of each is out.
    let mut parallel = study(1, 100, &numbers);
    assert_eq!(choice(&parallel), "cmaes");
    (0..5).for_each(|_| _ = parallel.begin());
    assert_eq!(choice(&parallel), "gp and tpe");
    // Trials that fill the space are still out.
    let mut begun = study(1, 4, &numbers);
    (0..5).for_each(|_| _ = begun.begin());
    assert_eq!(choice(&begun), "qmc");
    begun.tell(&[("x", &unit, 0.5), ("y", &unit, 0.5)], &[0.0]);
    assert_eq!(choice(&begun), "gp and tpe");
    let mut crowded = study(1, 50, &numbers);
    (0..33).for_each(|_| _ = crowded.begin());
    assert_eq!(choice(&crowded), "tpe");
}

/// With so many numbers it is CMA-ES from the second trial on, with its own start in the middle; a category forbids that.
#[test]
fn it_follows_many_numbers_from_the_beginning() {
    let (unit, category) = (distribution("float 0 1 0 0"), distribution("categorical 2"));
    let names: Vec<String> = (0..20).map(|k| format!("x{k}")).collect();
    let mut space: Vec<(&str, &Distribution)> = names.iter().map(|name| (name.as_str(), &unit)).collect();
    for (n, expected) in [(0, "qmc"), (1, "cmaes"), (30, "cmaes"), (300, "cmaes")] {
        assert_eq!(choice(&study(1, n, &space)), expected, "{n}");
    }
    assert_eq!(choice(&study(1, 130, &space[..15])), "cmaes");
    assert_eq!(choice(&study(1, 110, &space[..15])), "gp and tpe");
    space.push(("c", &category));
    assert_eq!(choice(&study(1, 5, &space)), "qmc");
    assert_eq!(choice(&study(1, 30, &space)), "gp and tpe");
}

/// Two samplers in turn: what each would have proposed, by the trial's number.
#[test]
fn it_takes_turns() {
    let unit = distribution("float 0 1 0 0");
    let mut study = study(1, 30, &[("x", &unit), ("y", &unit)]);
    study.tell(&[("x", &unit, 0.3), ("z", &unit, 0.4)], &[0.1]);
    let view = study.view();
    for number in [31, 32, 33, 34].map(TrialNumber) {
        let of = |sampler: &dyn Sampler| sampler.sample_relative(&view, number, 5);
        let (gp, tpe) = (of(&Gp::default()), of(&Tpe::default()));
        assert_ne!(gp, tpe);
        assert_eq!(of(&Auto::new().unwrap()), if number.0 % 2 == 0 { tpe } else { gp }, "{number:?}");
    }
}

#[test]
fn it_goes_on_from_what_was_found_and_nothing_kept_matters() {
    let unit = distribution("float 0 1 0 0");
    let mut study = study(1, 250, &[("x", &unit), ("y", &unit)]);
    let keeping = Auto::new().unwrap();
    let mut worst: f64 = 0.0;
    for k in 0..80 {
        let number = study.begin();
        let view = study.view();
        let proposals = keeping.sample_relative(&view, number, 5);
        assert_eq!(proposals, Auto::new().unwrap().sample_relative(&view, number, 5));
        if k % 7 == 3 {
            keeping.drop_caches();
        }
        let params: Vec<_> = proposals.iter().map(|(_, def, value)| (def.name.as_str(), &unit, *value)).collect();
        let loss = params.iter().map(|(.., value)| (value - 0.3).powi(2)).sum();
        worst = if k >= 60 { worst.max(loss) } else { worst };
        study.set(number, &params);
        study.end(number, &[loss]);
    }
    assert!(worst < 0.02, "{worst}");
    let before = keeping.sample_independent(&study.view(), TrialNumber(400), 5, "new", &unit);
    assert!(unit.contains(before));
}
