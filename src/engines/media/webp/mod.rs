//! WebP, through image-webp. The container is read here first, because the sizes that its parts state must agree before
//! any of them is decoded; and frames are drawn here, because image-webp 0.2 disposes of them in another way than libwebp does.
//!
//! The canvas of an animation is transparent black before the first frame, whatever background the file names, as in libwebp's
//! `WebPAnimDecoder` (`anim_decode.c`), whose rules and integers these are.
//!
//! Where there is alpha although the header of an extended file says that there is none, dwebp shows it, and Chromium 148 takes the colours for
//! premultiplied ones: of a still it shows `colour * 255 / alpha`, opaque. Both are given.

mod container;
mod groups;

use std::time::Duration;

use container::{AnimationFrame, Bitstream, Chunks, STORED, bitstream_size, fault, number, riff_length, sizes_disagree, spend_bitstream};
use image_webp::WebPDecoder;

use super::canvas::{Area, Canvas};
use super::colours::Profile;
use super::error::Fault;
use super::orientation::Orientation;
use super::pixels;
use super::sequence::{Raster, Reading, Sequence, Stored};
use super::work::{Metered, Work};
use crate::domain::frame::{Buffer, BufferPool};

/// What a frame costs beside its pixels, and a pixel of the canvas, which is copied for each frame; in nanoseconds.
const FRAME: u64 = 20_000;
const SHOWN: u64 = 8;

pub(super) struct Webp<'a> {
    bytes: &'a [u8],
    size: (u32, u32),
    orientation: Orientation,
    /// Whether the header of an extended file says that there is none.
    denies_alpha: bool,
    icc: Option<&'a [u8]>,
    /// The frame that was just read, as what takes its colours for premultiplied ones shows it.
    unmultiplied: Option<Raster>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    /// With the picture of an extended file.
    Still {
        picture: Option<Bitstream<'a>>,
        announced: bool,
    },
    Animation(Box<Animation<'a>>),
}

/// An animation, as far as it was drawn.
struct Animation<'a> {
    frames: u32,
    /// What stands behind the last frame that was announced.
    rest: Chunks<'a>,
    /// The frame that comes next.
    frame: Option<AnimationFrame<'a>>,
    /// When the frame behind it is shown.
    until: Duration,
    canvas: Option<Canvas>,
    last: Option<Drawn>,
}

/// The frame before.
#[derive(Clone, Copy)]
struct Drawn {
    area: Area,
    disposed: bool,
    /// Whether nothing of the frames before it was to be seen.
    key: bool,
}

impl<'a> Sequence<'a> for Webp<'a> {
    const ONE_PROFILE: bool = true;

    fn open(bytes: &'a [u8], _work: &Work) -> Result<Self, Fault> {
        let no_chunk = || Fault::malformed("no image chunk");
        // Pillow, too, wants all of the file, even when the first frame is whole.
        let length = riff_length(bytes).filter(|&length| length <= bytes.len()).ok_or_else(|| Fault::malformed("the file is cut short"))?;
        let all = Chunks(bytes.get(12..length).unwrap_or_default());
        let mut chunks = all;
        let (kind, data) = chunks.next().ok_or_else(no_chunk)?;
        if kind != b"VP8X" {
            let size = bitstream_size(kind, data).ok_or_else(no_chunk)?;
            Bitstream::among(all, size)?;
            let kind = Kind::Still { picture: None, announced: false };
            let orientation = Orientation::UPRIGHT;
            return Ok(Self { bytes, size, orientation, denies_alpha: false, icc: None, unmultiplied: None, kind });
        }
        let side = |at: usize| number(data, at).map(|side| side + 1);
        let (flags, size) = data.first().zip(side(4).zip(side(7))).ok_or_else(|| Fault::malformed("short VP8X chunk"))?;
        let (flagged, animated) = (flags & 0x10 != 0, flags & 0x02 != 0);
        let (mut orientation, mut icc, mut frames) = (None, None, 0);
        let (announces_exif, announces_icc) = (flags & 0x08 != 0, flags & 0x20 != 0);
        let mut walk = chunks;
        for (kind, data) in walk.by_ref() {
            match kind {
                // There may be one only; of several the first counts, and none that the header does not announce, as in libwebp.
                b"EXIF" if announces_exif => orientation = orientation.or_else(|| Some(Orientation::from_exif(data))),
                b"ICCP" if announces_icc => icc = icc.or(Some(data)),
                // A still picture, which must fill the canvas.
                b"VP8 " | b"VP8L" if bitstream_size(kind, data) != Some(size) => return Err(sizes_disagree()),
                b"ANMF" => {
                    AnimationFrame::read(data, size)?;
                    frames += 1;
                }
                _ => {}
            }
        }
        // What is not whole counts as a frame, so that it is asked for and missed.
        frames += u32::from(walk.0.len() > 1);
        let kind = if animated {
            Kind::Animation(Box::new(Animation { frames, rest: chunks, frame: None, until: Duration::ZERO, canvas: None, last: None }))
        } else {
            let picture = Bitstream::among(chunks, size)?.map(Bitstream::of_alpha);
            Kind::Still { picture, announced: false }
        };
        let orientation = orientation.unwrap_or(Orientation::UPRIGHT);
        Ok(Self { bytes, size, orientation, denies_alpha: !flagged, icc, unmultiplied: None, kind })
    }

    fn frames(&self) -> Option<u32> {
        match &self.kind {
            Kind::Still { .. } => Some(1),
            Kind::Animation(animation) => Some(animation.frames),
        }
    }

    fn next(&mut self, _work: &Work) -> Result<Option<Stored>, Fault> {
        let stored = |time| Stored { size: self.size, orientation: self.orientation, time };
        match &mut self.kind {
            Kind::Still { announced, .. } => Ok((!std::mem::replace(announced, true)).then(|| stored(None))),
            Kind::Animation(animation) => {
                let Some((_, data)) = animation.rest.find(|(kind, _)| kind == b"ANMF") else {
                    // A chunk that is not whole may be the frame that somebody cut; a padding byte is none.
                    return if animation.rest.0.len() > 1 { Err(Fault::malformed("the file is cut short")) } else { Ok(None) };
                };
                let frame = AnimationFrame::read(data, self.size)?;
                let time = animation.until;
                animation.until += frame.duration;
                animation.frame = Some(frame);
                Ok(Some(stored(Some(time))))
            }
        }
    }

    fn read(&mut self, out: &mut [u8], reading: Reading, pool: &BufferPool, work: &Work) -> Result<Option<Buffer>, Fault> {
        work.spend(FRAME + SHOWN * (out.len() / 3) as u64, "frames")?;
        match &mut self.kind {
            Kind::Still { picture: Some(picture), .. } => {
                let (pixels, bytes) = picture.decode(self.size, pool, work)?;
                if bytes == 3 {
                    out.copy_from_slice(&pixels);
                    return Ok(None);
                }
                pixels::from_strided::<4>(&pixels, [0, 1, 2], out);
                let alpha = (reading == Reading::All).then(|| pixels::alpha_of(&pixels, pool));
                if let Some(alpha) = alpha.as_deref().filter(|alpha| self.denies_alpha && !pixels::is_opaque(alpha)) {
                    let rgb = pixels::unmultiplied(out, alpha, pool);
                    self.unmultiplied = Some(Raster { size: self.size, rgb, alpha: None });
                }
                Ok(alpha)
            }
            Kind::Still { .. } => read_still(self.bytes, self.size, (out, reading), pool, work),
            Kind::Animation(animation) => {
                animation.draw((self.size.0 as usize, self.size.1 as usize), pool, work)?;
                let canvas = animation.canvas.as_mut().ok_or_else(|| Fault::malformed("no frame"))?;
                canvas.show(out);
                // Browsers show the page through what the frames leave of the canvas, whatever the header says.
                let alpha = (reading == Reading::All).then(|| canvas.alpha(pool));
                if let Some(alpha) = alpha.as_deref().filter(|alpha| self.denies_alpha && !pixels::is_opaque(alpha)) {
                    let rgb = pixels::unmultiplied(out, alpha, pool);
                    self.unmultiplied = Some(Raster { size: self.size, rgb, alpha: Some(canvas.alpha(pool)) });
                }
                if let Some(Drawn { area, disposed: true, .. }) = animation.last {
                    canvas.fill(area, [0; 3], 0);
                }
                Ok(alpha)
            }
        }
    }

    fn profiles(&self, _work: &Work) -> Result<Vec<Profile<'a>>, Fault> {
        Ok(self.icc.map(|icc| Profile::Icc(icc.into())).into_iter().collect())
    }

    fn drawn(&mut self, _: &BufferPool) -> Option<Raster> {
        self.unmultiplied.take()
    }
}

fn read_still(
    bytes: &[u8],
    size: (u32, u32),
    (out, reading): (&mut [u8], Reading),
    pool: &BufferPool,
    work: &Work,
) -> Result<Option<Buffer>, Fault> {
    // Its only chunk was found when the file was opened.
    if let Some((kind, data)) = Chunks(bytes.get(12..).unwrap_or_default()).next() {
        spend_bitstream(kind, data, size, work)?;
    }
    let mut decoder = WebPDecoder::new(Metered::new(bytes, work, STORED, "codes of a WebP")).map_err(fault)?;
    if decoder.dimensions() != size {
        return Err(sizes_disagree());
    }
    // Metadata is not read through the decoder; what is left of this limit's use is profiles and animation headers.
    decoder.set_memory_limit(bytes.len());
    if !decoder.has_alpha() {
        return decoder.read_image(out).map(|()| None).map_err(fault);
    }
    let mut with_alpha = pool.take(out.len() / 3 * 4);
    decoder.read_image(&mut with_alpha).map_err(fault)?;
    pixels::from_strided::<4>(&with_alpha, [0, 1, 2], out);
    Ok((reading == Reading::All).then(|| pixels::alpha_of(&with_alpha, pool)))
}

impl Animation<'_> {
    /// Draws the frame that was announced.
    fn draw(&mut self, size: (usize, usize), pool: &BufferPool, work: &Work) -> Result<(), Fault> {
        let frame = self.frame.take().ok_or_else(|| Fault::malformed("no frame"))?;
        let area = frame.area;
        let fills = |area: Area| (area.width, area.height) == size;
        let key = match self.last {
            None => true,
            Some(_) if (!frame.blends || !frame.bitstream.has_alpha()) && fills(area) => true,
            Some(last) => last.disposed && (fills(last.area) || last.key),
        };
        let (pixels, bytes) = frame.bitstream.decode((area.width as u32, area.height as u32), pool, work)?;
        let mut canvas = match self.canvas.take() {
            Some(canvas) if !key => canvas,
            _ => Canvas::filled(size, [0; 3], 0, pool),
        };
        // Nothing is blended with what was disposed of: colours under a full transparency stay as they are.
        let hole = self.last.filter(|last| last.disposed).map(|last| last.area);
        for (number, row) in pixels.chunks_exact(area.width * bytes).enumerate() {
            let y = area.top + number;
            let (rgb, alpha) = canvas.row(y, area.left, area.width);
            if bytes == 3 {
                rgb.copy_from_slice(row);
                alpha.fill(255);
                continue;
            }
            let hole =
                hole.filter(|hole| (hole.top..hole.top + hole.height).contains(&y)).map_or(0..0, |hole| hole.left..hole.left + hole.width);
            let pixels = row.chunks_exact(4).zip(rgb.chunks_exact_mut(3).zip(alpha)).enumerate();
            for (x, (above, (pixel, under))) in pixels {
                if key || !frame.blends || above[3] == 255 || hole.contains(&(area.left + x)) {
                    pixel.copy_from_slice(&above[..3]);
                    *under = above[3];
                } else if above[3] > 0 {
                    blend(above, pixel, under);
                }
            }
        }
        self.canvas = Some(canvas);
        self.last = Some(Drawn { area, disposed: frame.disposes, key });
        Ok(())
    }
}

/// `BlendPixelNonPremult` of libwebp, with its integers; the upper pixel is not fully transparent.
fn blend(above: &[u8], pixel: &mut [u8], under: &mut u8) {
    let over = u32::from(above[3]);
    let rest = (u32::from(*under) * (256 - over)) >> 8;
    let alpha = over + rest;
    let scale = (1 << 24) / alpha;
    for (value, &above) in pixel.iter_mut().zip(above) {
        *value = (((u32::from(above) * over + u32::from(*value) * rest) * scale) >> 24) as u8;
    }
    *under = alpha as u8;
}
