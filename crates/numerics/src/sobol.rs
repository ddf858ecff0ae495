//! Sobol's sequence, any point of any of its first thousand dimensions by itself, plain or scrambled.
//!
//! Sobol, "On the distribution of points in a cube and the approximate evaluation of integrals" (1967), in the Gray
//! code order of Antonov and Saleev (1979), with the direction numbers of Joe and Kuo, "Constructing Sobol sequences
//! with better two-dimensional projections", SIAM J. Sci. Comput. 30 (2008): the beginning of their table
//! `new-joe-kuo-6.21201`, which is under the BSD licence (copyright 2008 Stephen Joe and Frances Y. Kuo).

use crate::Stream;

/// A line for each dimension: its primitive polynomial as bits, and the first direction integers m.
const TABLE: &str = include_str!("joe-kuo-1000.txt");

/// Binary digits of a coordinate; also the logarithm of how many points there are.
const BITS: usize = 32;

/// 2^-32.
const ULP: f64 = 1.0 / (1_u64 << BITS) as f64;

/// One dimension of Sobol's sequence.
#[derive(Clone, Debug)]
pub struct Sobol {
    /// The direction numbers v, as binary fractions of 32 digits.
    directions: [u32; BITS],
    shift: u32,
    /// Added to the digits: half of the last one where they are scrambled, which keeps off both ends.
    offset: f64,
}

impl Sobol {
    /// How many dimensions there are.
    pub const DIMS: usize = 1000;

    /// A dimension, counted from 0; none beyond the table.
    #[must_use]
    pub fn new(dim: usize) -> Option<Sobol> {
        let mut numbers = TABLE.lines().nth(dim)?.split(' ').map_while(|number| number.parse::<u32>().ok());
        let polynomial = numbers.next()?;
        let degree = polynomial.ilog2() as usize;
        let mut m = [1_u32; BITS];
        if degree > 0 {
            m.iter_mut().zip(numbers).for_each(|(m, number)| *m = number);
            for j in degree..BITS {
                // Joe and Kuo (2008), equation 3: m_j = 2 a_1 m_{j-1} ^ ... ^ 2^s m_{j-s} ^ m_{j-s}.
                m[j] = (1..=degree).fold(m[j - degree], |next, k| {
                    let coefficient = polynomial >> (degree - k) & 1;
                    next ^ coefficient.wrapping_mul(m[j - k].wrapping_shl(k as u32))
                });
            }
        }
        let directions = std::array::from_fn(|j| m[j] << (BITS - 1 - j));
        Some(Sobol { directions, shift: 0, offset: 0.0 })
    }

    /// The dimension with its digits scrambled: a random linear matrix scramble and a digital shift (Matousek, "On
    /// the L2-discrepancy for anchored boxes", J. Complexity 14, 1998). Every coordinate is uniform in (0, 1), and
    /// the points of a sequence lie as evenly as before.
    #[must_use]
    pub fn scrambled(dim: usize, stream: &mut Stream) -> Option<Sobol> {
        let mut plain = Sobol::new(dim)?;
        // Row i of the matrix: random below the diagonal, that is for the digits before the i-th, and 1 on it.
        let rows: [u32; BITS] = std::array::from_fn(|i| {
            let before = !(u32::MAX >> i);
            (stream.next_u64() as u32 & before) | 1 << (BITS - 1 - i)
        });
        for direction in &mut plain.directions {
            let digit = |row: u32| (row & *direction).count_ones() & 1;
            *direction = rows.iter().fold(0, |digits, row| digits << 1 | digit(*row));
        }
        plain.shift = stream.next_u64() as u32;
        plain.offset = 0.5;
        Some(plain)
    }

    /// The coordinate of a point, counted from 0: in `[0, 1)`.
    #[must_use]
    #[inline]
    pub fn at(&self, index: u32) -> f64 {
        let mut rest = index ^ index >> 1;
        let mut digits = self.shift;
        while rest != 0 {
            digits ^= self.directions[rest.trailing_zeros() as usize];
            rest &= rest - 1;
        }
        (f64::from(digits) + self.offset) * ULP
    }
}
