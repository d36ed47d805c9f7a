//! What goes into a model.

use half::f16;
use serde::{Deserialize, Serialize};

/// A dense, row-major array of one element type.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

/// The elements.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

/// An element's type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE 754 binary32.
    #[default]
    F32,
    /// IEEE 754 binary16: 11 bits of precision, up to 65504.
    F16,
}

impl DType {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `f32` or `f16`, as in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// The largest finite value.
    pub fn largest(self) -> f32 {
        match self {
            Self::F32 => f32::MAX,
            Self::F16 => f16::MAX.to_f32(),
        }
    }
}

impl TensorData {
    /// The values, each rounded to the nearest of `dtype`, a half to the even one.
    pub fn from_floats(values: Vec<f32>, dtype: DType) -> Self {
        match dtype {
            DType::F32 => Self::F32(values),
            DType::F16 => {
                use half::slice::HalfFloatSliceExt;
                let mut halves = vec![f16::ZERO; values.len()];
                halves.convert_from_f32_slice(&values);
                Self::F16(halves)
            }
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Tensor {
    /// A tensor over `data`.
    ///
    /// # Panics
    /// If the shape's product is not the data's length: a programming error of the engine that made it.
    pub fn new(shape: Vec<usize>, data: TensorData) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "shape {shape:?} does not fit the data");
        Self { shape, data }
    }

    /// Extents, outermost first; of a model's input the first is the batch.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements, row-major.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// The elements' type.
    pub fn dtype(&self) -> DType {
        match self.data {
            TensorData::F32(_) => DType::F32,
            TensorData::F16(_) => DType::F16,
        }
    }

    /// The elements as floats; exact, since a float holds every half.
    pub fn to_floats(&self) -> Vec<f32> {
        match &self.data {
            TensorData::F32(values) => values.clone(),
            TensorData::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_nearest_and_ties_go_to_even() {
        // Between 2048 and 4096 a half's step is 2: 2049 and 2051 lie in the middle.
        let values = vec![2049.0, 2051.0, 2050.9, -2049.1, 1.0 / 3.0, 65504.0];
        let halves = Tensor::new(vec![1, 6], TensorData::from_floats(values.clone(), DType::F16));
        assert_eq!(halves.dtype(), DType::F16);
        assert_eq!(halves.to_floats(), [2048.0, 2052.0, 2050.0, -2050.0, 0.333_251_95, 65504.0]);
        assert_eq!(Tensor::new(vec![6], TensorData::from_floats(values.clone(), DType::F32)).to_floats(), values);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_shape_of_another_length_is_a_bug() {
        Tensor::new(vec![2, 2], TensorData::F32(vec![0.0; 3]));
    }
}
