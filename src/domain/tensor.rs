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

    /// The items of the batch, each a batch of one.
    pub fn into_items(self) -> Vec<Self> {
        let Self { shape, data } = self;
        if shape[0] == 1 {
            return vec![Self { shape, data }];
        }
        let item = [&[1], &shape[1..]].concat();
        let length: usize = item.iter().product();
        data.chunks_exact(length.max(1)).map(|chunk| Self::new(item.clone(), chunk.to_vec())).collect()
    }

    /// Batches of equal item shape, one behind the other.
    ///
    /// # Panics
    /// If there is none, or the item shapes differ: a programming error of the caller.
    pub fn concat(batches: &[Self]) -> Self {
        let item = &batches[0].shape[1..];
        assert!(batches.iter().all(|batch| &batch.shape[1..] == item), "item shapes differ");
        let count = batches.iter().map(|batch| batch.shape[0]).sum();
        let data = batches.iter().flat_map(|batch| &batch.data).copied().collect();
        Self::new([&[count], item].concat(), data)
    }
}
