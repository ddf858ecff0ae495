//! `exp` and `ln` without branches, so that a loop over a slice becomes vector instructions, and the sums built
//! on them. Single values for which speed does not matter are better served by `libm`.

/// 2^52 * 1.5: adding it to a small double leaves the nearest whole number in the low bits of the mantissa.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// ln 2 in two parts; the first has 32 bits, so that its product with an exponent is exact (Cody and Waite 1980).
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Below this `exp` gives zero: the smallest result is a little above the smallest normal double.
const EXP_MIN: f64 = -707.5;
/// Above this `exp` gives infinity: ln of the largest double.
const EXP_MAX: f64 = 709.782_712_893_384;

/// `e^x` within 2 units in the last place. Results that would be subnormal become zero.
///
/// `x = k ln 2 + r` with `|r| <= ln 2 / 2`, and `e^r = 1 + r + r^2 P(r)`, where `P` is the minimax polynomial of
/// degree 9 for an absolute weight `r^2 + 1e-6` (Remez exchange in 60 digits; error 3.5e-18).
#[inline(always)]
#[must_use]
pub fn exp(x: f64) -> f64 {
    const P: [f64; 10] = [
        0.500_000_000_000_001_2,
        0.166_666_666_666_667,
        0.041_666_666_666_515_424,
        0.008_333_333_333_307_215,
        0.001_388_888_894_701_482_6,
        0.000_198_412_699_173_577_78,
        2.480_148_994_331_229_2e-5,
        2.755_721_632_750_158e-6,
        2.763_127_995_531_849e-7,
        2.511_785_170_556_295_3e-8,
    ];
    // Comparisons that let NaN through, unlike `max` and `min`.
    let clamped = if x < EXP_MIN { EXP_MIN } else { x };
    let clamped = if clamped > EXP_MAX { EXP_MAX } else { clamped };
    let rounded = clamped * std::f64::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (clamped - k * LN2_HIGH) - k * LN2_LOW;
    let r2 = r * r;
    let r4 = r2 * r2;
    // Estrin's scheme: short chains of dependent operations.
    let low = (P[0] + P[1] * r) + (P[2] + P[3] * r) * r2;
    let high = (P[4] + P[5] * r) + (P[6] + P[7] * r) * r2 + (P[8] + P[9] * r) * r4;
    let e_r = 1.0 + (r + r2 * (low + high * r4));
    // 2^(k-1), so that the exponent of the largest results still fits; the sum puts the factor 2 back.
    let scale = f64::from_bits(rounded.to_bits().wrapping_add(1022) << 52);
    let result = (e_r + e_r) * scale;
    let result = if x < EXP_MIN { 0.0 } else { result };
    if x > EXP_MAX { f64::INFINITY } else { result }
}

/// [`exp`] of each element.
pub fn exp_in_place(values: &mut [f64]) {
    for value in values {
        *value = exp(*value);
    }
}

/// The natural logarithm within 2 units in the last place, of a positive, finite and normal number.
/// Other arguments give meaningless numbers; [`ln_in_place`] takes care of them.
///
/// `x = 2^k m` with `m` in `[sqrt(1/2), sqrt(2))`, and `ln m = 2 artanh f` with `f = (m - 1) / (m + 1)`;
/// `artanh f = f + f^3 P(f^2)` with a minimax `P` of degree 6 (Remez exchange in 60 digits; error 1.6e-16 of `P`,
/// which is 4.6e-18 of the result).
#[inline(always)]
#[must_use]
pub fn ln(x: f64) -> f64 {
    const P: [f64; 7] = [
        0.666_666_666_666_667,
        0.399_999_999_998_978_9,
        0.285_714_286_266_514_1,
        0.222_222_110_317_493_25,
        0.181_828_962_076_168_3,
        0.153_314_977_645_068_18,
        0.146_190_969_920_122_8,
    ];
    /// The bits of sqrt(1/2).
    const ROOT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    /// The bits of 2^52: a whole number below 2^52 in the mantissa reads as 2^52 plus that number.
    const TWO_52: u64 = 0x4330_0000_0000_0000;
    // Shifting the range of mantissas to start at sqrt(1/2) makes the exponent field count from there.
    let shifted = x.to_bits().wrapping_sub(ROOT_HALF);
    let exponent = (shifted >> 52) & 0xfff;
    // The twelve bits are a two's complement number; flipping the sign bit makes it k + 2048.
    let k = f64::from_bits(TWO_52 | (exponent ^ 0x800)) - (4_503_599_627_370_496.0 + 2048.0);
    let m = f64::from_bits((shifted & 0x000f_ffff_ffff_ffff).wrapping_add(ROOT_HALF));
    let f = (m - 1.0) / (m + 1.0);
    let s = f * f;
    let s2 = s * s;
    let p = (P[0] + P[1] * s) + (P[2] + P[3] * s) * s2 + ((P[4] + P[5] * s) + P[6] * s2) * (s2 * s2);
    // 2 f = (m - 1) - f (m - 1) exactly, and m - 1 is exact: the rounding error of the quotient counts only in
    // the small second term.
    let e = m - 1.0;
    let ln_m = e - f * (e - s * p);
    k * LN2_HIGH + (k * LN2_LOW + ln_m)
}

/// The natural logarithm of each element, whatever it is.
pub fn ln_in_place(values: &mut [f64]) {
    let ordinary = values.iter().all(|v| (f64::MIN_POSITIVE..f64::INFINITY).contains(v));
    if ordinary {
        for value in values {
            *value = ln(*value);
        }
    } else {
        for value in values {
            *value = libm::log(*value);
        }
    }
}

/// `ln sum e^x`, safe against overflow: the largest term is taken out. No terms give minus infinity.
#[must_use]
pub fn log_sum_exp(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest.is_infinite() {
        return largest;
    }
    let sum: f64 = values.iter().map(|&v| exp(v - largest)).sum();
    largest + libm::log(sum)
}
