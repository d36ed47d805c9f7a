//! What the frames of an animation are drawn on, one over the other.

use super::sequence::Raster;
use crate::domain::frame::{Buffer, BufferPool};

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// Colour and alpha in planes of their own, as they are handed on.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    rgb: Buffer,
    alpha: Buffer,
}

/// Part of a canvas as it was.
pub(super) struct Patch {
    area: Area,
    canvas: Canvas,
}

/// What is to be done to a canvas before the next frame is drawn.
pub(super) enum Undo {
    Nothing,
    /// One colour and alpha for an area.
    Fill(Area, [u8; 3], u8),
    Restore(Patch),
}

impl Canvas {
    /// All of one colour and alpha.
    pub(super) fn filled((width, height): (usize, usize), colour: [u8; 3], alpha: u8, pool: &BufferPool) -> Self {
        let mut canvas = Self { width, height, rgb: pool.take(3 * width * height), alpha: pool.take(width * height) };
        canvas.fill(Area { left: 0, top: 0, width, height }, colour, alpha);
        canvas
    }

    /// A copy of a frame; without an alpha it is opaque.
    pub(super) fn of((width, height): (usize, usize), rgb: &[u8], alpha: Option<&[u8]>, pool: &BufferPool) -> Self {
        let mut canvas = Self { width, height, rgb: pool.take(3 * width * height), alpha: pool.take(width * height) };
        canvas.rgb.copy_from_slice(rgb);
        match alpha {
            Some(alpha) => canvas.alpha.copy_from_slice(alpha),
            None => canvas.alpha.fill(255),
        }
        canvas
    }

    /// Width and height.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The part of an area that lies on the canvas.
    pub(super) fn cut(&self, area: Area) -> Area {
        let (left, top) = (area.left.min(self.width), area.top.min(self.height));
        let right = (area.left + area.width).min(self.width);
        let bottom = (area.top + area.height).min(self.height);
        Area { left, top, width: right.saturating_sub(left), height: bottom.saturating_sub(top) }
    }

    /// Colour and alpha of `width` pixels from (`left`, `y`).
    pub(super) fn row(&mut self, y: usize, left: usize, width: usize) -> (&mut [u8], &mut [u8]) {
        let start = y * self.width + left;
        (&mut self.rgb[3 * start..3 * (start + width)], &mut self.alpha[start..start + width])
    }

    /// Makes what lies in the area one colour and alpha.
    pub(super) fn fill(&mut self, area: Area, colour: [u8; 3], alpha: u8) {
        let area = self.cut(area);
        for y in area.top..area.top + area.height {
            let (rgb, alphas) = self.row(y, area.left, area.width);
            rgb.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&colour));
            alphas.fill(alpha);
        }
    }

    /// Remembers an area; what lies beyond the canvas is transparent black.
    pub(super) fn save(&self, area: Area, pool: &BufferPool) -> Patch {
        let mut saved = Self::filled((area.width, area.height), [0; 3], 0, pool);
        let inside = self.cut(area);
        for y in 0..inside.height {
            let start = (inside.top + y) * self.width + inside.left;
            let (rgb, alpha) = saved.row(y, 0, inside.width);
            rgb.copy_from_slice(&self.rgb[3 * start..3 * (start + inside.width)]);
            alpha.copy_from_slice(&self.alpha[start..start + inside.width]);
        }
        Patch { area, canvas: saved }
    }

    /// Puts back what [`save`](Self::save) remembered.
    pub(super) fn restore(&mut self, mut patch: Patch) {
        let inside = self.cut(patch.area);
        for y in 0..inside.height {
            let (rgb, alpha) = self.row(inside.top + y, inside.left, inside.width);
            let (old_rgb, old_alpha) = patch.canvas.row(y, 0, inside.width);
            rgb.copy_from_slice(old_rgb);
            alpha.copy_from_slice(old_alpha);
        }
    }

    /// Disposes of the last frame.
    pub(super) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Fill(area, colour, alpha) => self.fill(area, colour, alpha),
            Undo::Restore(patch) => self.restore(patch),
        }
    }

    /// A larger canvas with this one in its upper left corner.
    pub(super) fn grown(self, size: (usize, usize), colour: [u8; 3], alpha: u8, pool: &BufferPool) -> Self {
        let mut grown = Self::filled(size, colour, alpha, pool);
        let area = Area { left: 0, top: 0, width: self.width, height: self.height };
        grown.restore(Patch { area, canvas: self });
        grown
    }

    /// Copies the colours out.
    pub(super) fn show(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.rgb);
    }

    /// A copy of all.
    pub(super) fn raster(&self, pool: &BufferPool) -> Raster {
        let mut rgb = pool.take(self.rgb.len());
        self.show(&mut rgb);
        Raster { size: (self.width as u32, self.height as u32), rgb, alpha: Some(self.alpha(pool)) }
    }

    /// A copy of the alpha.
    pub(super) fn alpha(&self, pool: &BufferPool) -> Buffer {
        let mut alpha = pool.take(self.alpha.len());
        alpha.copy_from_slice(&self.alpha);
        alpha
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_comes_back_also_beyond_the_edge() {
        let pool = BufferPool::new(1 << 10);
        let mut canvas = Canvas::filled((3, 2), [1, 2, 3], 9, &pool);
        let area = Area { left: 2, top: 1, width: 2, height: 2 };
        let patch = canvas.save(area, &pool);
        canvas.fill(area, [7; 3], 8);
        assert_eq!((&canvas.rgb[15..], &canvas.alpha[4..]), (&[7, 7, 7][..], &[9, 8][..]));
        let mut canvas = canvas.grown((4, 3), [5; 3], 6, &pool);
        canvas.restore(patch);
        let (rgb, alpha) = canvas.row(1, 1, 3);
        assert_eq!((&*rgb, &*alpha), (&[1, 2, 3, 1, 2, 3, 0, 0, 0][..], &[9, 9, 0][..]));
        let mut out = [0; 36];
        canvas.show(&mut out);
        assert_eq!((&out[9..12], &out[30..33]), (&[5, 5, 5][..], &[0, 0, 0][..]));
        assert_eq!(canvas.alpha(&pool)[3], 6);
    }
}
