//! Streams: fixed for ever, independent of each other, and uniform.

use trialog_numerics::{Stream, hash_bytes};

/// A change here changes every study's suggestions.
#[test]
fn value_stability() {
    let mut stream = Stream::new(&[42, 7, 1]);
    let drawn: Vec<u64> = (0..4).map(|_| stream.next_u64()).collect();
    assert_eq!(drawn, [14386092972346048899, 4667661564068638970, 7451890223540940743, 15513354880479626862]);
    assert_eq!(stream.uniform(), 0.12033931236925866);
    assert_eq!(stream.below(1000), 852);
    assert_eq!(hash_bytes(b"x"), 3204358148266727566);
}

#[test]
fn keys_differ_by_value_order_and_length() {
    let keys: [&[u64]; 8] = [&[], &[0], &[0, 0], &[1], &[1, 0], &[0, 1], &[1, 1], &[u64::MAX]];
    let mut firsts: Vec<u64> = keys.iter().map(|key| Stream::new(key).next_u64()).collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), keys.len());
}

#[test]
fn neighbouring_streams_are_uncorrelated() {
    // The correlation of 100,000 pairs has standard deviation 0.0032; five of them.
    let n = 100_000;
    let draw = |number: u64| Stream::new(&[3, number, 5]).uniform() - 0.5;
    let product: f64 = (0..n).map(|number| draw(number) * draw(number + 1)).sum();
    assert!((product * 12.0 / n as f64).abs() < 0.016);
}

#[test]
fn uniform_is_uniform() {
    let mut stream = Stream::new(&[9]);
    let mut bins = [0_u32; 64];
    for _ in 0..640_000 {
        let u = stream.uniform();
        assert!((0.0..1.0).contains(&u));
        bins[(u * 64.0) as usize] += 1;
    }
    // 63 degrees of freedom: 130 is exceeded once in a million.
    let chi2: f64 = bins.iter().map(|&n| (f64::from(n) - 10_000.0).powi(2) / 10_000.0).sum();
    assert!(chi2 < 130.0, "{chi2}");
}

#[test]
fn below_stays_below_and_favours_none() {
    let mut stream = Stream::new(&[10]);
    assert_eq!(stream.below(0), 0);
    assert_eq!(stream.below(1), 0);
    assert!((0..1000).all(|_| stream.below(u64::MAX) < u64::MAX));
    let mut bins = [0_u32; 7];
    for _ in 0..70_000 {
        bins[stream.below(7) as usize] += 1;
    }
    // 6 degrees of freedom: 38 is exceeded once in a million.
    let chi2: f64 = bins.iter().map(|&n| (f64::from(n) - 10_000.0).powi(2) / 10_000.0).sum();
    assert!(chi2 < 38.0, "{chi2}");
}
