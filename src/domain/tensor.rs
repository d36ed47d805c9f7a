//! What goes into a model.

/// A dense, row-major batch of `f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor over `data`.
    ///
    /// # Panics
    /// If the shape's product is not the data's length: a programming error of the engine that made it.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "shape {shape:?} does not fit the data");
        Self { shape, data }
    }

    /// Extents, outermost first; the first is the batch.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }
}
