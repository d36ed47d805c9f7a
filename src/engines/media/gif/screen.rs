//! Frames as browsers draw them, where that is another picture than Pillow's.
//!
//! The screen is as large as the header says, or as far as the first frame reaches; what later frames draw beyond it is not seen. It is
//! transparent before the first frame, whatever background the header names, and so is what is disposed of to the background; to restore what
//! was before the first frame is to clear. Source: `std/gif` of Wuffs and `SkCodec` of Skia, which Chromium draws with;
//! `scripts/conformance/browser.py` holds both against each other.

use super::super::canvas::{Canvas, Undo};
use super::super::sequence::Raster;
use super::blocks::{Disposal, FrameHeader, Headers};
use super::{area, place};
use crate::domain::frame::BufferPool;

pub(super) struct Screen {
    canvas: Canvas,
    undo: Undo,
}

impl Screen {
    /// An empty screen, if some frame of the file may look different on it. Walks over all headers.
    pub(super) fn unlike_pillow(mut headers: Headers<'_>, pool: &BufferPool) -> Option<Self> {
        let first = headers.next()?.ok()?;
        let size = (headers.screen.0.max(first.left + first.width), headers.screen.1.max(first.top + first.height));
        let covers = (first.width, first.height) == size;
        let mut differs = !covers && first.transparent.is_none();
        let disposed_alike = |frame: &FrameHeader<'_>, is_first: bool| match (frame.disposal, frame.own_disposal) {
            (Disposal::Keep, Disposal::Keep) => true,
            // Pillow clears to a colour, unless both are transparent.
            (Disposal::Background, Disposal::Background) => frame.transparent.and(first.transparent).is_some(),
            (Disposal::Previous, Disposal::Previous) => !is_first || frame.transparent.is_some(),
            _ => false,
        };
        let mut alike = disposed_alike(&first, true);
        while let Some(Ok(frame)) = headers.next().filter(|_| !differs) {
            differs = !alike || frame.left + frame.width > size.0 || frame.top + frame.height > size.1;
            alike = disposed_alike(&frame, false);
        }
        differs.then(|| Self { canvas: Canvas::filled(size, [0; 3], 0, pool), undo: Undo::Nothing })
    }

    /// Draws the next frame.
    pub(super) fn draw(&mut self, frame: &FrameHeader<'_>, indices: &[u8], pool: &BufferPool) {
        self.canvas.undo(std::mem::replace(&mut self.undo, Undo::Nothing));
        let area = self.canvas.cut(area(frame));
        self.undo = match frame.own_disposal {
            Disposal::Keep => Undo::Nothing,
            Disposal::Background => Undo::Fill(area, [0; 3], 0),
            Disposal::Previous => Undo::Restore(self.canvas.save(area, pool)),
        };
        place(frame, indices, &mut self.canvas);
    }

    /// What is seen now.
    pub(super) fn show(&self, pool: &BufferPool) -> Raster {
        self.canvas.raster(pool)
    }
}
