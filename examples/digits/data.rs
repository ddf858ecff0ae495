//! The handwritten digits, and how they are shared out between training and validation. Where they come from stands in
//! `data/README.md`.

/// Pixels of an image.
pub(crate) const PIXELS: usize = 64;
/// What an image may show.
pub(crate) const CLASSES: usize = 10;

/// Images and the digits that they show.
pub(crate) struct Set {
    pixels: Vec<f32>,
    labels: Vec<usize>,
}

impl Set {
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The pixels of one image, from 0 to 1.
    pub(crate) fn image(&self, index: usize) -> &[f32] {
        &self.pixels[index * PIXELS..][..PIXELS]
    }

    /// The digit that an image shows.
    pub(crate) fn label(&self, index: usize) -> usize {
        self.labels[index]
    }
}

/// The two sets of one fixed split.
pub(crate) struct Digits {
    pub(crate) training: Set,
    pub(crate) validation: Set,
}

/// Of each digit's images, one in so many is for validation.
const VALIDATION_ONE_IN: usize = 5;

/// Reads the images. The split is stratified: every digit has its share in both sets.
pub(crate) fn load() -> Digits {
    let empty = || Set { pixels: Vec::new(), labels: Vec::new() };
    let mut digits = Digits { training: empty(), validation: empty() };
    let mut seen = [0; CLASSES];
    for line in include_str!("../data/digits.txt").lines() {
        let (pixels, label) = line.split_at(PIXELS);
        let label: usize = label.parse().expect("the file is part of the program and its lines end in a digit");
        seen[label] += 1;
        let for_validation = seen[label] % VALIDATION_ONE_IN == 0;
        let set = if for_validation { &mut digits.validation } else { &mut digits.training };
        set.pixels.extend(pixels.chars().map(shade));
        set.labels.push(label);
    }
    digits
}

/// `0` to `9` and `a` to `g` are the seventeen shades.
fn shade(letter: char) -> f32 {
    letter.to_digit(17).expect("the file is part of the program and has no other letters") as f32 / 16.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_in_one_of_the_sets() {
        let digits = load();
        assert_eq!(digits.training.len() + digits.validation.len(), 1797);
        assert_eq!(digits.validation.len(), 355);
        assert!(digits.training.pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
    }

    #[test]
    fn both_sets_have_every_digit_in_proportion() {
        let digits = load();
        for label in 0..CLASSES {
            let count = |set: &Set| set.labels.iter().filter(|other| **other == label).count();
            let (training, validation) = (count(&digits.training), count(&digits.validation));
            assert_eq!(validation, (training + validation) / VALIDATION_ONE_IN, "{label}");
        }
    }
}
