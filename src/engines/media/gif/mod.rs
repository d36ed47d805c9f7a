//! GIF: the container is read here, the pixels by weezl's LZW.
//!
//! Frames are placed as Pillow's `GifImageFile` places them (its `LoadingStrategy.RGB_AFTER_FIRST`). The screen grows when a frame reaches
//! beyond it. What the first frame does not cover is the transparent index if there is one, else index 0, seen through the frame's own
//! palette; only a first frame with transparency makes the others transparent where nothing is drawn. A frame's area is disposed of before
//! the next one is drawn. Source of the format: "Graphics Interchange Format, Version 89a", CompuServe 1990.
//!
//! Deliberate difference: where the first frame has no colours but greys, Pillow keeps indices, and shows earlier frames through the palette
//! of later ones; here every frame keeps its colours and its transparency.
//!
//! Where browsers draw another picture of such a file than Pillow does, theirs is given beside it: see `screen`.

mod blocks;
mod screen;

use std::time::Duration;

use blocks::{Disposal, FrameHeader, Headers};
use screen::Screen;

use super::canvas::{Area, Canvas, Undo};
use super::error::Fault;
use super::orientation::Orientation;
use super::pixels;
use super::sequence::{Raster, Reading, Sequence, Stored};
use super::work::Work;
use crate::domain::frame::{Buffer, BufferPool};

/// What a frame costs beside its pixels, a pixel of its own, and one of the screen, which is copied for each frame; in nanoseconds.
const FRAME: u64 = 10_000;
const DRAWN: u64 = 10;
const SHOWN: u64 = 10;

pub(super) struct Gif<'a> {
    file: &'a [u8],
    headers: Headers<'a>,
    /// The frame that comes next.
    frame: Option<FrameHeader<'a>>,
    screen: (usize, usize),
    /// When the frame behind the one that comes next is shown.
    until: Duration,
    /// What was drawn so far; `None` before the first frame.
    canvas: Option<Canvas>,
    /// Whether the canvas has alpha.
    transparent: bool,
    undo: Undo,
    /// Where browsers draw something else.
    browsers: Option<Screen>,
}

impl<'a> Sequence<'a> for Gif<'a> {
    fn open(file: &'a [u8], _work: &Work) -> Result<Self, Fault> {
        let headers = Headers::open(file).ok_or_else(no_frame)?;
        Ok(Self {
            file,
            headers,
            frame: None,
            screen: headers.screen,
            until: Duration::ZERO,
            canvas: None,
            transparent: false,
            undo: Undo::Nothing,
            browsers: None,
        })
    }

    /// Walks over the sub-blocks of the whole file: one step for up to 255 bytes.
    fn frames(&self) -> Option<u32> {
        let mut headers = Headers::open(self.file)?;
        let mut frames = 0;
        while let Some(header) = headers.next() {
            frames += 1;
            if header.is_err() {
                break;
            }
        }
        Some(frames)
    }

    fn next(&mut self, _work: &Work) -> Result<Option<Stored>, Fault> {
        let Some(frame) = self.headers.next().transpose()? else { return Ok(None) };
        self.screen.0 = self.screen.0.max(frame.left + frame.width);
        self.screen.1 = self.screen.1.max(frame.top + frame.height);
        let time = self.until;
        self.until += frame.delay;
        self.frame = Some(frame);
        let size = (self.screen.0 as u32, self.screen.1 as u32);
        Ok(Some(Stored { size, orientation: Orientation::UPRIGHT, time: Some(time) }))
    }

    fn read(&mut self, out: &mut [u8], reading: Reading, pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault> {
        let frame = self.frame.take().ok_or_else(no_frame)?;
        let area = frame.width * frame.height;
        work.spend(FRAME + DRAWN * area as u64 + SHOWN * (out.len() / 3) as u64, "frames")?;
        let mut indices = pool.take(area);
        frame.inflate(&mut indices, work)?;
        if reading == Reading::All && self.canvas.is_none() {
            self.browsers = Headers::open(self.file).and_then(|headers| Screen::unlike_pillow(headers, pool));
        }
        if let Some(screen) = &mut self.browsers {
            screen.draw(&frame, &indices, pool);
        }
        match self.canvas.take() {
            None => Ok(self.read_first(&frame, &indices, out, reading, pool)),
            Some(canvas) => Ok(self.read_later(canvas, &frame, &indices, out, pool)),
        }
    }

    fn drawn(&mut self, pool: &BufferPool) -> Option<Raster> {
        self.browsers.as_ref().map(|screen| screen.show(pool))
    }
}

impl Gif<'_> {
    /// The first frame is drawn where it is wanted, so that a still costs nothing more.
    fn read_first(
        &mut self,
        frame: &FrameHeader<'_>,
        indices: &[u8],
        out: &mut [u8],
        reading: Reading,
        pool: &BufferPool,
    ) -> Option<Buffer> {
        let palette = frame.colours.palette();
        let screen_width = self.screen.0;
        let covers = (frame.width, frame.height) == self.screen;
        if !covers {
            let colour = palette[usize::from(frame.transparent.unwrap_or(0))];
            out.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&colour));
        }
        let mut alpha = (reading == Reading::All).then_some(()).and(frame.transparent).map(|index| (index, pool.take(out.len() / 3)));
        if let Some((_, alpha)) = alpha.as_mut().filter(|_| !covers) {
            alpha.fill(0);
        }
        for (number, row) in indices.chunks_exact(frame.width).enumerate() {
            let start = (frame.top + frame.row(number)) * screen_width + frame.left;
            pixels::from_indices(row, 8, &palette, &mut out[3 * start..3 * (start + frame.width)]);
            if let Some((transparent, alpha)) = &mut alpha {
                let seen = row.iter().map(|index| if index == transparent { 0 } else { 255 });
                alpha[start..start + frame.width].iter_mut().zip(seen).for_each(|(alpha, seen)| *alpha = seen);
            }
        }
        let alpha = alpha.map(|(_, alpha)| alpha);
        self.transparent = alpha.is_some();
        if reading == Reading::All && { self.headers }.next().is_some() {
            self.canvas = Some(Canvas::of(self.screen, out, alpha.as_deref(), pool));
            let area = area(frame);
            // Here Pillow looks a colour up as it decodes one: what is not defined is black.
            self.undo = match (frame.disposal, frame.transparent) {
                (Disposal::Background | Disposal::Previous, Some(index)) => Undo::Fill(area, palette[usize::from(index)], 0),
                (Disposal::Background, None) => Undo::Fill(area, palette[usize::from(self.headers.background)], 255),
                (Disposal::Keep, _) | (Disposal::Previous, None) => Undo::Nothing,
            };
        }
        alpha
    }

    fn read_later(
        &mut self,
        mut canvas: Canvas,
        frame: &FrameHeader<'_>,
        indices: &[u8],
        out: &mut [u8],
        pool: &BufferPool,
    ) -> Option<Buffer> {
        canvas.undo(std::mem::replace(&mut self.undo, Undo::Nothing));
        let area = area(frame);
        self.undo = match (frame.disposal, frame.transparent) {
            (Disposal::Keep, _) => Undo::Nothing,
            (Disposal::Background, Some(index)) => Undo::Fill(area, frame.colours.colour(index), 0),
            (Disposal::Background, None) => Undo::Fill(area, frame.colours.colour(self.headers.background), 255),
            (Disposal::Previous, _) => Undo::Restore(canvas.save(area, pool)),
        };
        if canvas.size() != self.screen {
            self.transparent = frame.transparent.is_some();
            let (colour, alpha) = if self.transparent { ([0; 3], 0) } else { (frame.colours.colour(0), 255) };
            canvas = canvas.grown(self.screen, colour, alpha, pool);
        }
        place(frame, indices, &mut canvas);
        canvas.show(out);
        let alpha = self.transparent.then(|| canvas.alpha(pool));
        self.canvas = Some(canvas);
        alpha
    }
}

/// Draws what of a frame lies on the canvas.
fn place(frame: &FrameHeader<'_>, indices: &[u8], canvas: &mut Canvas) {
    let palette = frame.colours.palette();
    let inside = canvas.cut(area(frame));
    for (number, row) in indices.chunks_exact(frame.width).enumerate() {
        let y = frame.row(number);
        if y >= inside.height {
            continue;
        }
        let (rgb, alpha) = canvas.row(inside.top + y, inside.left, inside.width);
        for ((&index, pixel), alpha) in row.iter().zip(rgb.chunks_exact_mut(3)).zip(alpha) {
            if Some(index) != frame.transparent {
                pixel.copy_from_slice(&palette[usize::from(index)]);
                *alpha = 255;
            }
        }
    }
}

fn area(frame: &FrameHeader<'_>) -> Area {
    Area { left: frame.left, top: frame.top, width: frame.width, height: frame.height }
}

fn no_frame() -> Fault {
    Fault::malformed("no frame")
}
