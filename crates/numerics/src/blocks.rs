//! A symmetric positive definite matrix in small square blocks, and its inverse. All the work is one product of blocks,
//! whose sixteen sums stay in vector registers.
//!
//! For matrices that grow row by row, and for solving without the inverse, there is [`Cholesky`](crate::Cholesky).

/// Rows and columns of a block.
const SIDE: usize = 4;

/// A block by columns: `block[k][i]` is the element of row `i` and column `k`.
type Block = [[f64; SIDE]; SIDE];

const ZERO: Block = [[0.0; SIDE]; SIDE];

/// A symmetric matrix: the blocks of its lower triangle, row by row. Blocks on the diagonal are whole, and the last row
/// of blocks may reach beyond the matrix.
///
/// Element by element, two matrices of one size have the same place in [`SymmetricBlocks::elements`], and each place stands
/// for one element of the matrix on the diagonal blocks, for two elsewhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SymmetricBlocks {
    len: usize,
    blocks: Vec<Block>,
}

/// What is known of a matrix that was inverted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inversion {
    /// Half the logarithm of the determinant.
    pub half_log_det: f64,
    /// The inverse of the lower factor, transposed: its upper triangle, row by row.
    upper: Vec<Block>,
    /// The inverse of each diagonal block of the factor.
    diagonal: Vec<Block>,
}

/// How many rows of blocks a matrix has.
fn side(len: usize) -> usize {
    len.div_ceil(SIDE)
}

/// Where a row of blocks of the lower triangle begins.
fn lower_start(row: usize) -> usize {
    row * (row + 1) / 2
}

/// Where a row of blocks of the upper triangle begins, of so many.
fn upper_start(row: usize, rows: usize) -> usize {
    row * (2 * rows - row + 1) / 2
}

/// The sum of `a b^T` over pairs of blocks.
#[inline(always)]
fn products(a: &[Block], b: &[Block]) -> Block {
    let mut sum = ZERO;
    for (a, b) in a.iter().zip(b) {
        for (a, b) in a.iter().zip(b) {
            for (sum, b) in sum.iter_mut().zip(b) {
                for (sum, a) in sum.iter_mut().zip(a) {
                    *sum += a * b;
                }
            }
        }
    }
    sum
}

fn difference(a: &Block, b: &Block) -> Block {
    std::array::from_fn(|k| std::array::from_fn(|i| a[k][i] - b[k][i]))
}

/// The lower factor of a block, inverted, and the product of the factor's diagonal; none if the block is not positive
/// definite to working precision, or not finite.
fn invert_factor(block: &Block) -> Option<(Block, f64)> {
    let mut lower = [[0.0; SIDE]; SIDE];
    for i in 0..SIDE {
        for j in 0..=i {
            let known: f64 = (0..j).map(|p| lower[i][p] * lower[j][p]).sum();
            let rest = block[j][i] - known;
            if i == j {
                if !(rest > 0.0 && rest.is_finite()) {
                    return None;
                }
                lower[i][i] = libm::sqrt(rest);
            } else {
                lower[i][j] = rest / lower[j][j];
            }
        }
    }
    let mut inverse = ZERO;
    for k in 0..SIDE {
        inverse[k][k] = 1.0 / lower[k][k];
        for i in k + 1..SIDE {
            let known: f64 = (k..i).map(|p| lower[i][p] * inverse[k][p]).sum();
            inverse[k][i] = -known / lower[i][i];
        }
    }
    Some((inverse, (0..SIDE).map(|i| lower[i][i]).product()))
}

impl SymmetricBlocks {
    /// A matrix of zeros.
    #[must_use]
    pub fn zeros(len: usize) -> SymmetricBlocks {
        SymmetricBlocks { len, blocks: vec![ZERO; lower_start(side(len))] }
    }

    /// The matrix of these elements by row and column, of which the second is never larger.
    #[must_use]
    pub fn from_fn(len: usize, mut element: impl FnMut(usize, usize) -> f64) -> SymmetricBlocks {
        let mut matrix = SymmetricBlocks::zeros(len);
        for row in 0..len {
            for column in 0..=row {
                let value = element(row, column);
                matrix.set(row, column, value);
                if row / SIDE == column / SIDE {
                    matrix.set(column, row, value);
                }
            }
        }
        matrix
    }

    /// Rows, which are as many as columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn set(&mut self, row: usize, column: usize, value: f64) {
        self.blocks[lower_start(row / SIDE) + column / SIDE][column % SIDE][row % SIDE] = value;
    }

    /// The element of a row and a column.
    ///
    /// # Panics
    /// If there is no such row or column.
    #[must_use]
    pub fn at(&self, row: usize, column: usize) -> f64 {
        let (row, column) = if row < column { (column, row) } else { (row, column) };
        self.blocks[lower_start(row / SIDE) + column / SIDE][column % SIDE][row % SIDE]
    }

    /// All elements, those of one block after another.
    #[must_use]
    pub fn elements(&self) -> &[f64] {
        self.blocks.as_flattened().as_flattened()
    }

    /// The same, to change; whoever does keeps the diagonal blocks symmetric.
    pub fn elements_mut(&mut self) -> &mut [f64] {
        self.blocks.as_flattened_mut().as_flattened_mut()
    }

    /// Puts zeros beyond the matrix, where its last blocks reach.
    pub fn clear_beyond(&mut self) {
        let inside = self.len % SIDE;
        let Some(last) = side(self.len).checked_sub(1).filter(|_| inside > 0) else { return };
        let start = lower_start(last);
        for (at, block) in self.blocks[start..].iter_mut().enumerate() {
            for (k, column) in block.iter_mut().enumerate() {
                let from = if at == last && k >= inside { 0 } else { inside };
                column[from..].fill(0.0);
            }
        }
    }

    /// Sums of two matrices' products by element over the whole matrix, of which the lower triangle is stored: those
    /// beside the diagonal blocks count twice.
    ///
    /// # Panics
    /// If the matrices have different sizes.
    #[must_use]
    pub fn dot(&self, other: &SymmetricBlocks) -> f64 {
        assert_eq!(self.len, other.len, "matrices of one size");
        let (mut beside, mut diagonal) = (ZERO, ZERO);
        let add = |sum: &mut Block, a: &Block, b: &Block| {
            for k in 0..SIDE {
                for i in 0..SIDE {
                    sum[k][i] += a[k][i] * b[k][i];
                }
            }
        };
        for row in 0..side(self.len) {
            let at = lower_start(row);
            for (a, b) in self.blocks[at..at + row].iter().zip(&other.blocks[at..at + row]) {
                add(&mut beside, a, b);
            }
            add(&mut diagonal, &self.blocks[at + row], &other.blocks[at + row]);
        }
        let sum = |block: &Block| block.iter().flatten().sum::<f64>();
        2.0 * sum(&beside) + sum(&diagonal)
    }

    /// The sum of the diagonal.
    #[must_use]
    pub fn trace(&self) -> f64 {
        (0..self.len).map(|i| self.at(i, i)).sum()
    }

    /// Adds a number to every element of the diagonal.
    pub fn add_to_diagonal(&mut self, value: f64) {
        for i in 0..self.len {
            let sum = self.at(i, i) + value;
            self.set(i, i, sum);
        }
    }

    /// Subtracts `x x^T`.
    ///
    /// # Panics
    /// If the vector has another size than the matrix.
    pub fn subtract_square(&mut self, x: &[f64]) {
        assert_eq!(self.len, x.len(), "a vector of the matrix's size");
        let padded = in_fours(x);
        for row in 0..padded.len() {
            let start = lower_start(row);
            for (block, b) in self.blocks[start..=start + row].iter_mut().zip(&padded) {
                for (column, b) in block.iter_mut().zip(b) {
                    for (element, a) in column.iter_mut().zip(&padded[row]) {
                        *element -= a * b;
                    }
                }
            }
        }
    }

    /// Puts the inverse in the place of the matrix; none if it is not positive definite to working precision, and then
    /// what stands there means nothing. `inversion` is what is known then, and memory that is used again.
    ///
    /// With the lower factor `L` of the matrix, `X = L^-1` and the inverse `X^T X` (Golub and Van Loan, *Matrix
    /// Computations*, 4th ed., section 4.2): three times a third of `n^3` operations.
    pub fn invert(&mut self, inversion: &mut Inversion) -> Option<()> {
        let rows = side(self.len);
        // Beyond the matrix stands the identity, which is its own inverse.
        self.clear_beyond();
        for beyond in self.len..rows * SIDE {
            self.set(beyond, beyond, 1.0);
        }
        let Inversion { half_log_det, upper, diagonal } = inversion;
        diagonal.clear();
        *half_log_det = 0.0;
        // L_IJ = (K_IJ - sum_p<J L_Ip L_Jp^T) L_JJ^-T, in the place of K.
        for i in 0..rows {
            let (before, row) = self.blocks.split_at_mut(lower_start(i));
            let row = &mut row[..=i];
            for j in 0..i {
                let other = &before[lower_start(j)..][..j];
                let rest = difference(&row[j], &products(&row[..j], other));
                row[j] = products(&[rest], &diagonal[j..=j]);
            }
            let rest = difference(&row[i], &products(&row[..i], &row[..i]));
            let (inverse, product) = invert_factor(&rest)?;
            diagonal.push(inverse);
            *half_log_det += libm::log(product);
        }
        // With T = X^T: T_JI = -(sum_J<=p<I T_Jp L_Ip^T) L_II^-T.
        upper.clear();
        upper.reserve(upper_start(rows, rows));
        for j in 0..rows {
            let at = upper.len();
            upper.push(transpose(&diagonal[j]));
            for i in j + 1..rows {
                let sum = products(&upper[at..], &self.blocks[lower_start(i) + j..lower_start(i) + i]);
                upper.push(products(&[difference(&ZERO, &sum)], &diagonal[i..=i]));
            }
        }
        // K^-1_IJ = sum_p>=I T_Ip T_Jp^T.
        for i in 0..rows {
            let one = &upper[upper_start(i, rows)..upper_start(i + 1, rows)];
            for j in 0..=i {
                let other = &upper[upper_start(j, rows)..upper_start(j + 1, rows)];
                self.blocks[lower_start(i) + j] = products(one, &other[i - j..]);
            }
        }
        self.clear_beyond();
        Some(())
    }
}

fn transpose(block: &Block) -> Block {
    std::array::from_fn(|k| std::array::from_fn(|i| block[i][k]))
}

/// A vector in fours, zeros behind it.
fn in_fours(x: &[f64]) -> Vec<[f64; SIDE]> {
    let mut padded = vec![[0.0; SIDE]; side(x.len())];
    padded.as_flattened_mut()[..x.len()].copy_from_slice(x);
    padded
}

impl Inversion {
    /// `L^-1 x` and `K^-1 x`.
    #[must_use]
    pub fn solve(&self, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let x4 = in_fours(x);
        let rows = x4.len();
        let mut lower = vec![[0.0; SIDE]; rows];
        for (j, x) in x4.iter().enumerate() {
            let row = &self.upper[upper_start(j, rows)..upper_start(j + 1, rows)];
            // The row of T is a column of X.
            for (sums, block) in lower[j..].iter_mut().zip(row) {
                for (sum, column) in sums.iter_mut().zip(block) {
                    *sum += column.iter().zip(x).map(|(a, b)| a * b).sum::<f64>();
                }
            }
        }
        let mut whole = vec![[0.0; SIDE]; rows];
        for (i, sums) in whole.iter_mut().enumerate() {
            let row = &self.upper[upper_start(i, rows)..upper_start(i + 1, rows)];
            for (block, u) in row.iter().zip(&lower[i..]) {
                for (column, u) in block.iter().zip(u) {
                    for (sum, a) in sums.iter_mut().zip(column) {
                        *sum += a * u;
                    }
                }
            }
        }
        let cut = |fours: &[[f64; SIDE]]| fours.as_flattened()[..x.len()].to_vec();
        (cut(&lower), cut(&whole))
    }
}
