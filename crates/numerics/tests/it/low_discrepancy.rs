//! Points of Sobol's and Halton's sequences against SciPy's, and what scrambling keeps.

use trialog_numerics::{Halton, Sobol, Stream};

/// See `golden/low_discrepancy.py` for the form of a line.
fn check(golden: &str) {
    for line in golden.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let index: u32 = words.next().unwrap().parse().unwrap();
        for word in words {
            let (dim, expected) = word.split_once(':').unwrap();
            let (dim, expected): (usize, f64) = (dim.parse().unwrap(), expected.parse().unwrap());
            let found = match name {
                "sobol" => Sobol::new(dim).unwrap().at(index),
                _ => Halton::new(dim).unwrap().at(index),
            };
            // Sobol's are exact; Halton's sums of fractions differ by roundings.
            let tolerance = if name == "sobol" { 0.0 } else { 1e-15 };
            assert!((found - expected).abs() <= tolerance, "{name} {index} {dim}: {found:?}, not {expected:?}");
        }
    }
}

#[test]
fn points_are_scipys() {
    check(include_str!("../golden/low-discrepancy-scipy-1.17.1.txt"));
}

#[test]
#[should_panic(expected = "sobol 3 0")]
fn canary() {
    check("sobol 3 0:0.5");
}

/// Each interval of length 1/256 has one of 256 points in a row, in every dimension, scrambled or not: Sobol's are a
/// (0, s)-sequence in base 2 along each axis.
#[test]
fn every_axis_is_stratified() {
    for dim in [0, 1, 2, 17, 400, 999] {
        let axes = [Sobol::new(dim), Sobol::scrambled(dim, &mut Stream::new(&[7, dim as u64]))];
        for axis in axes.map(Option::unwrap) {
            for start in [0, 256, 1 << 20] {
                let mut cells: Vec<u32> = (start..start + 256).map(|i| (axis.at(i) * 256.0) as u32).collect();
                cells.sort_unstable();
                assert!(cells.into_iter().eq(0..256), "{dim} from {start}");
            }
        }
    }
    for (dim, base) in [(0, 2_u32), (1, 3), (4, 11)] {
        let axis = Halton::scrambled(dim, &mut Stream::new(&[7])).unwrap();
        let cells = base * base;
        let mut found: Vec<u32> = (0..cells).map(|i| (axis.at(i) * f64::from(cells)) as u32).collect();
        found.sort_unstable();
        assert!(found.into_iter().eq(0..cells), "base {base}");
    }
}

/// The mean error of an integral over five dimensions is far below that of independent draws, and other seeds give
/// other points.
#[test]
fn scrambled_points_integrate_well() {
    let error = |seed: u64, halton: bool| {
        let streams = (0..5).map(|dim| Stream::new(&[seed, dim]));
        let axes: Vec<Box<dyn Fn(u32) -> f64>> = streams
            .enumerate()
            .map(|(dim, mut stream)| -> Box<dyn Fn(u32) -> f64> {
                if halton {
                    let axis = Halton::scrambled(dim, &mut stream).unwrap();
                    Box::new(move |i| axis.at(i))
                } else {
                    let axis = Sobol::scrambled(dim, &mut stream).unwrap();
                    Box::new(move |i| axis.at(i))
                }
            })
            .collect();
        let product = |i: u32| axes.iter().map(|axis| 1.0 + (axis(i) - 0.5)).product::<f64>();
        (0..1024).map(product).sum::<f64>() / 1024.0 - 1.0
    };
    for halton in [false, true] {
        let errors: Vec<f64> = (0..20).map(|seed| error(seed, halton)).collect();
        let rms = (errors.iter().map(|e| e * e).sum::<f64>() / 20.0).sqrt();
        // Independent draws would have sqrt(((13/12)^5 - 1) / 1024) = 0.022.
        assert!(rms < 0.004, "{rms}");
        assert!(errors.windows(2).any(|pair| pair[0] != pair[1]));
    }
}

#[test]
fn there_are_a_thousand_dimensions() {
    assert!(Sobol::new(Sobol::DIMS - 1).is_some() && Sobol::new(Sobol::DIMS).is_none());
    assert!(Halton::new(Halton::DIMS - 1).is_some() && Halton::new(Halton::DIMS).is_none());
    let largest = Sobol::scrambled(3, &mut Stream::new(&[1])).unwrap();
    assert!((0..100_000).all(|i| largest.at(i) < 1.0 && largest.at(u32::MAX - i) < 1.0));
}
