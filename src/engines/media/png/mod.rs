//! PNG and its animations (APNG), through the png crate; samples are expanded here, because Pillow keeps transparency apart from colour, and
//! frames are drawn here.
//!
//! An image that is not part of the animation is what programs show that know no animations: it comes first, without a time. The canvas is
//! transparent black before the first frame of the animation, and what is disposed of becomes that again. Source: "Portable Network Graphics
//! (PNG) Specification (Third Edition)", W3C 2025.
//!
//! Deliberate differences to Pillow 13, which are its faults: it draws the animation over the image that is apart from it; blends indices of
//! palettes; makes an opaque canvas translucent where something translucent is drawn over it; takes a transparent grey of less than 8 bits, and
//! a transparent colour of 16, for another; and where `dispose_op` is "previous" puts back what was already drawn over.

mod chunks;
mod input;
mod rows;

use std::time::Duration;

use chunks::Animation;
use input::Input;
use png::{BlendOp, DecodeOptions, Decoder, DecodingError, DisposeOp, FrameControl, Limits};
use rows::{PngReader, Samples};

use super::canvas::{Area, Canvas, Undo};
use super::colours::Profile;
use super::error::Fault;
use super::orientation::Orientation;
use super::sequence::{Reading, Sequence, Stored};
use super::work::{self, Work};
use crate::domain::frame::{Buffer, BufferPool};

/// What a frame of an animation costs beside its pixels, and a pixel of the canvas, in nanoseconds.
const FRAME: u64 = 5_000;
const SHOWN: u64 = 5;

pub(super) struct Png<'a> {
    file: &'a [u8],
    /// Until the first image is read.
    decoder: Option<Decoder<Input<'a>>>,
    /// From then on.
    reader: Option<(PngReader<'a>, Samples)>,
    size: (u32, u32),
    orientation: Orientation,
    animation: Option<Animation>,
    /// The number of the next frame.
    number: u32,
    /// The header of the frame that is read next, where it has one.
    control: Option<FrameControl>,
    /// When the next frame of the animation is shown.
    until: Duration,
    canvas: Option<Canvas>,
    undo: Undo,
}

impl<'a> Sequence<'a> for Png<'a> {
    const ONE_PROFILE: bool = true;

    fn open(file: &'a [u8], work: &Work) -> Result<Self, Fault> {
        let mut options = DecodeOptions::default();
        // Compressed text and profiles are of no use here and would be inflated into memory.
        options.set_ignore_text_chunk(true);
        options.set_ignore_iccp_chunk(true);
        let mut decoder = Decoder::new_with_options(Input::new(file, work), options);
        let animation = chunks::animation(file);
        if animation.is_some() {
            // The crate takes a row from its limit at every frame and never gives it back. What else it allocates are chunks, which the file holds.
            decoder.set_limits(Limits { bytes: usize::MAX });
        }
        let header = decoder.read_header_info().map_err(fault)?;
        let size = (header.width, header.height);
        let orientation = chunks::exif(file).map_or(Orientation::UPRIGHT, Orientation::from_exif);
        let decoder = Some(decoder);
        let (number, control, until, canvas, undo) = (0, None, Duration::ZERO, None, Undo::Nothing);
        Ok(Self { file, decoder, reader: None, size, orientation, animation, number, control, until, canvas, undo })
    }

    fn frames(&self) -> Option<u32> {
        Some(self.animation.map_or(1, |animation| animation.frames + u32::from(animation.apart)))
    }

    fn next(&mut self, _work: &Work) -> Result<Option<Stored>, Fault> {
        let stored = |time| Stored { size: self.size, orientation: self.orientation, time };
        let Some(Animation { frames, apart }) = self.animation else {
            return Ok((self.number == 0).then(|| stored(None)));
        };
        let time = (self.number > 0 || !apart).then_some(self.until);
        let stored = stored(time);
        if self.number == frames + u32::from(apart) {
            return if chunks::frame_headers(self.file) > frames as usize {
                Err(Fault::malformed("more frames than are stated"))
            } else {
                Ok(None)
            };
        }
        if let Some((reader, _)) = &mut self.reader {
            let control = *reader.next_frame_info().map_err(fault)?;
            self.until += delay(control);
            self.control = Some(control);
        }
        Ok(Some(stored))
    }

    fn read(&mut self, out: &mut [u8], reading: Reading, pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault> {
        let number = self.number;
        self.number += 1;
        match self.decoder.take() {
            Some(decoder) => self.read_first(decoder, out, reading, pool, work),
            None => self.read_later(number, out, pool, work),
        }
    }

    fn profiles(&self, work: &Work) -> Result<Vec<Profile<'a>>, Fault> {
        chunks::profiles(self.file, work)
    }
}

impl<'a> Png<'a> {
    fn read_first(
        &mut self,
        decoder: Decoder<Input<'a>>,
        out: &mut [u8],
        reading: Reading,
        pool: &BufferPool,
        work: &Work,
    ) -> Result<Option<Buffer>, Fault> {
        let mut reader = decoder.read_info().map_err(fault)?;
        let samples = Samples::of(reader.info());
        let mut alpha = (reading == Reading::All && samples.have_alpha()).then(|| pool.take(out.len() / 3));
        rows::read(&mut reader, &samples, self.size.0 as usize, out, alpha.as_deref_mut(), work)?;
        if reading == Reading::All
            && let Some(animation) = self.animation
        {
            let size = (self.size.0 as usize, self.size.1 as usize);
            let control = reader.info().frame_control;
            match control.filter(|_| !animation.apart) {
                Some(control) => {
                    self.until += delay(control);
                    let canvas = Canvas::of(size, out, alpha.as_deref(), pool);
                    self.undo = undo(control, true, &canvas, pool);
                    self.canvas = Some(canvas);
                }
                None => self.canvas = Some(Canvas::filled(size, [0; 3], 0, pool)),
            }
            self.reader = Some((reader, samples));
        }
        Ok(alpha)
    }

    fn read_later(&mut self, number: u32, out: &mut [u8], pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault> {
        work.spend(FRAME + SHOWN * (out.len() / 3) as u64, "frames")?;
        let no_frame = || Fault::malformed("no frame");
        let (mut reader, samples) = self.reader.take().ok_or_else(no_frame)?;
        let control = self.control.take().ok_or_else(no_frame)?;
        let mut canvas = self.canvas.take().ok_or_else(no_frame)?;
        canvas.undo(std::mem::replace(&mut self.undo, Undo::Nothing));
        // Behind an image that is apart, the animation begins with number 1.
        let begins = number == 1 && self.animation.is_some_and(|animation| animation.apart);
        self.undo = undo(control, begins, &canvas, pool);
        let Area { left, top, width, height } = area(control);
        let over = control.blend_op == BlendOp::Over && samples.have_alpha() && !begins;
        // One row of the frame.
        let (mut above, mut above_alpha) = (pool.take(3 * width), pool.take(width));
        rows::each_line(&mut reader, (width, height), work, |line, stored| {
            let (rgb, alpha) = canvas.row(top + line.row, left, width);
            if !over && line.is_whole() {
                samples.expand(stored, rgb);
                samples.alpha(stored, alpha);
                return;
            }
            let (above, above_alpha) = (&mut above[..3 * line.length], &mut above_alpha[..line.length]);
            samples.expand(stored, above);
            samples.alpha(stored, above_alpha);
            let pixels = above.chunks_exact(3).zip(&*above_alpha);
            let places = line.places();
            if over {
                pixels.zip(places).for_each(|((above, &over), x)| blend(above, over, &mut rgb[3 * x..3 * x + 3], &mut alpha[x]));
            } else {
                pixels.zip(places).for_each(|((above, &opacity), x)| {
                    rgb[3 * x..3 * x + 3].copy_from_slice(above);
                    alpha[x] = opacity;
                });
            }
        })?;
        canvas.show(out);
        let alpha = canvas.alpha(pool);
        self.canvas = Some(canvas);
        self.reader = Some((reader, samples));
        Ok(Some(alpha))
    }
}

fn area(control: FrameControl) -> Area {
    let [left, top, width, height] = [control.x_offset, control.y_offset, control.width, control.height].map(|side| side as usize);
    Area { left, top, width, height }
}

/// What is to be done before the frame behind this one. At the beginning of an animation, to restore is to clear.
fn undo(control: FrameControl, begins: bool, canvas: &Canvas, pool: &BufferPool) -> Undo {
    match control.dispose_op {
        DisposeOp::None => Undo::Nothing,
        DisposeOp::Previous if !begins => Undo::Restore(canvas.save(area(control), pool)),
        DisposeOp::Background | DisposeOp::Previous => Undo::Fill(area(control), [0; 3], 0),
    }
}

/// How long a frame is shown: a fraction of a second, of hundredths where it has no denominator.
fn delay(control: FrameControl) -> Duration {
    let parts = if control.delay_den == 0 { 100 } else { u64::from(control.delay_den) };
    Duration::from_nanos(u64::from(control.delay_num) * 1_000_000_000 / parts)
}

/// Draws a pixel over another one: the "over" of Porter and Duff on straight alpha (PNG third edition, section 13.16), rounded as Pillow rounds
/// where the lower one is opaque.
fn blend(above: &[u8], over: u8, pixel: &mut [u8], under: &mut u8) {
    match over {
        0 => {}
        255 => {
            pixel.copy_from_slice(above);
            *under = 255;
        }
        _ => {
            let (upper, lower) = (u32::from(over) * 255, u32::from(*under) * (255 - u32::from(over)));
            let whole = upper + lower;
            for (value, &above) in pixel.iter_mut().zip(above) {
                *value = ((u32::from(above) * upper + u32::from(*value) * lower + whole / 2) / whole) as u8;
            }
            *under = ((whole + 127) / 255) as u8;
        }
    }
}

fn fault(error: DecodingError) -> Fault {
    if let DecodingError::IoError(error) = &error
        && let Some(stopped) = work::stopped(error)
    {
        return stopped;
    }
    Fault::malformed(error)
}
