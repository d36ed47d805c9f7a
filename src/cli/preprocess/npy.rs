//! NumPy's file format, version 1.0: a magic, a header in Python's notation, the elements.

use std::io::{self, Write};

use crate::domain::tensor::{DType, Tensor, TensorData};

/// The header ends at a multiple of this, so that elements can be mapped.
const ALIGNMENT: usize = 64;

/// Writes a tensor: little endian, row-major.
pub(super) fn write(tensor: &Tensor, out: &mut impl Write) -> io::Result<()> {
    let descr = match tensor.dtype() {
        DType::F32 => "<f4",
        DType::F16 => "<f2",
    };
    // A tuple of one has a comma behind it, and more may have.
    let extents: String = tensor.shape().iter().map(|extent| format!("{extent}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
    const BEFORE: usize = 10; // magic, version, length
    let padding = (BEFORE + header.len() + 1).next_multiple_of(ALIGNMENT) - (BEFORE + header.len() + 1);
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    out.write_all(b"\x93NUMPY\x01\x00")?;
    let length = u16::try_from(header.len()).map_err(|_| io::Error::other("the shape is too long for a header of version 1.0"))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    match tensor.data() {
        TensorData::F32(values) => values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes())),
        TensorData::F16(values) => values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_numpy_writes() {
        // numpy.save of numpy.array([[1, -2]], "<f2"), but for the comma that NumPy leaves out behind the last of several extents.
        let mut bytes = Vec::new();
        write(&Tensor::new(vec![1, 2], TensorData::from_floats(vec![1.0, -2.0], DType::F16)), &mut bytes).unwrap();
        let mut expected = b"\x93NUMPY\x01\x00v\x00{'descr': '<f2', 'fortran_order': False, 'shape': (1, 2, ), }".to_vec();
        expected.resize(127, b' ');
        expected.extend(b"\n\x00\x3c\x00\xc0");
        assert_eq!(bytes, expected);
    }
}
