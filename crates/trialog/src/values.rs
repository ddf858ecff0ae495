//! What an objective may return: one number, or one for each objective.

/// One value per objective.
pub trait Values {
    /// The values in the order of the study's directions.
    fn into_values(self) -> Vec<f64>;
}

macro_rules! number {
    ($($kind:ty),*) => {
        $(impl Values for $kind {
            fn into_values(self) -> Vec<f64> {
                vec![f64::from(self)]
            }
        })*
    };
}

number!(f64, f32, i32, u32);

impl Values for Vec<f64> {
    fn into_values(self) -> Vec<f64> {
        self
    }
}

impl<const N: usize> Values for [f64; N] {
    fn into_values(self) -> Vec<f64> {
        self.to_vec()
    }
}

impl Values for (f64, f64) {
    fn into_values(self) -> Vec<f64> {
        vec![self.0, self.1]
    }
}

impl Values for (f64, f64, f64) {
    fn into_values(self) -> Vec<f64> {
        vec![self.0, self.1, self.2]
    }
}
