//! What people do to pictures before they post them again: for evaluation, never on the way of an attachment.
//!
//! Every function makes a new frame. Resampling and blur are the image crate's; what it lacks (turning by a few degrees, writing) is done here in plain code.

mod glyphs;

use image::{
    RgbImage,
    imageops::{self, FilterType},
};

pub use self::glyphs::{Ink, Place};
use crate::domain::frame::Frame;

/// Scaled to this size in pixels, each at least 1, by Lanczos with three lobes, which also takes the mean when it makes smaller.
pub fn resize(frame: &Frame, width: u32, height: u32) -> Frame {
    framed(imageops::resize(&picture(frame), width.max(1), height.max(1), FilterType::Lanczos3))
}

/// A part: `width` times `height` pixels from `left` and `top` on, cut to what there is; at least one pixel.
pub fn crop(frame: &Frame, (left, top): (u32, u32), (width, height): (u32, u32)) -> Frame {
    let (left, top) = (left.min(frame.width() - 1), top.min(frame.height() - 1));
    let (width, height) = (width.clamp(1, frame.width() - left), height.clamp(1, frame.height() - top));
    framed(imageops::crop_imm(&picture(frame), left, top, width, height).to_image())
}

/// Turned clockwise by so many quarters.
pub fn quarter_turns(frame: &Frame, quarters: u32) -> Frame {
    let picture = picture(frame);
    framed(match quarters % 4 {
        0 => picture,
        1 => imageops::rotate90(&picture),
        2 => imageops::rotate180(&picture),
        _ => imageops::rotate270(&picture),
    })
}

/// Turned clockwise about its centre by any angle in degrees, in a frame of the same size, bilinear; corners that nothing covers are black.
pub fn rotate(frame: &Frame, degrees: f64) -> Frame {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let (middle_x, middle_y) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
    let mut pixels = vec![0; frame.pixels().len()];
    for (at, out) in pixels.chunks_exact_mut(3).enumerate() {
        let (x, y) = ((at % width) as f64 - middle_x, (at / width) as f64 - middle_y);
        // Where the pixel comes from: turned back.
        let (x, y) = (cosine * x + sine * y + middle_x, cosine * y - sine * x + middle_y);
        for (channel, out) in out.iter_mut().enumerate() {
            *out = bilinear(frame, x, y, channel);
        }
    }
    same_size(frame, pixels)
}

/// Between four neighbours; black outside.
fn bilinear(frame: &Frame, x: f64, y: f64, channel: usize) -> u8 {
    let (width, height) = (i64::from(frame.width()), i64::from(frame.height()));
    let (left, top) = (x.floor(), y.floor());
    let value = |column: i64, row: i64| {
        let inside = (0..width).contains(&column) && (0..height).contains(&row);
        if inside { f64::from(frame.pixels()[3 * (row * width + column) as usize + channel]) } else { 0.0 }
    };
    let (column, row, across, down) = (left as i64, top as i64, x - left, y - top);
    let above = value(column, row) * (1.0 - across) + value(column + 1, row) * across;
    let below = value(column, row + 1) * (1.0 - across) + value(column + 1, row + 1) * across;
    rounded(above * (1.0 - down) + below * down)
}

/// Mirrored left and right.
pub fn mirror(frame: &Frame) -> Frame {
    framed(imageops::flip_horizontal(&picture(frame)))
}

/// Upside down, as a mirror below it shows it.
pub fn upside_down(frame: &Frame) -> Frame {
    framed(imageops::flip_vertical(&picture(frame)))
}

/// Every channel the luma of ITU-R BT.601, as PDQ takes it.
pub fn grey(frame: &Frame) -> Frame {
    let luma = |rgb: &[u8]| rounded(0.299 * f64::from(rgb[0]) + 0.587 * f64::from(rgb[1]) + 0.114 * f64::from(rgb[2]));
    same_size(frame, frame.pixels().chunks_exact(3).flat_map(|rgb| [luma(rgb); 3]).collect())
}

/// Every value v becomes (v - 128) * contrast + 128 + brightness, cut to 0..=255.
pub fn tone(frame: &Frame, contrast: f64, brightness: f64) -> Frame {
    let table: [u8; 256] = std::array::from_fn(|value| rounded((value as f64 - 128.0) * contrast + 128.0 + brightness));
    same_size(frame, frame.pixels().iter().map(|value| table[usize::from(*value)]).collect())
}

/// Every value v becomes 255 (v / 255)^gamma.
pub fn gamma(frame: &Frame, gamma: f64) -> Frame {
    let table: [u8; 256] = std::array::from_fn(|value| rounded(255.0 * (value as f64 / 255.0).powf(gamma)));
    same_size(frame, frame.pixels().iter().map(|value| table[usize::from(*value)]).collect())
}

/// Blurred by a Gaussian of this standard deviation in pixels, above 0.
pub fn blur(frame: &Frame, sigma: f32) -> Frame {
    framed(imageops::blur(&picture(frame), sigma.max(f32::EPSILON)))
}

/// A frame of this many pixels around it, in one colour.
pub fn border(frame: &Frame, wide: u32, colour: [u8; 3]) -> Frame {
    let mut larger = RgbImage::from_pixel(frame.width() + 2 * wide, frame.height() + 2 * wide, image::Rgb(colour));
    imageops::replace(&mut larger, &picture(frame), i64::from(wide), i64::from(wide));
    framed(larger)
}

/// A line of capitals and digits over it, from an own alphabet of 5 x 7 dots: at most this share of the picture's height, and smaller where it would not fit its
/// width. What the alphabet lacks stays blank.
pub fn write(frame: &Frame, text: &str, share: f64, place: Place, ink: Ink) -> Frame {
    let mut pixels = frame.pixels().to_vec();
    glyphs::write(&mut pixels, (frame.width(), frame.height()), text, share, place, ink);
    same_size(frame, pixels)
}

fn rounded(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

fn picture(frame: &Frame) -> RgbImage {
    RgbImage::from_raw(frame.width(), frame.height(), frame.pixels().to_vec()).expect("a frame has the bytes of its size")
}

fn framed(picture: RgbImage) -> Frame {
    let (width, height) = picture.dimensions();
    Frame::new(width, height, picture.into_raw()).expect("a picture of at least one pixel has the bytes of its size")
}

fn same_size(frame: &Frame, pixels: Vec<u8>) -> Frame {
    Frame::new(frame.width(), frame.height(), pixels).expect("as many bytes as before")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4 x 2, every pixel another.
    fn small() -> Frame {
        Frame::new(4, 2, (0..24).map(|at| at * 10).collect::<Vec<u8>>()).unwrap()
    }

    fn pixel(frame: &Frame, x: u32, y: u32) -> [u8; 3] {
        let at = 3 * (y * frame.width() + x) as usize;
        frame.pixels()[at..at + 3].try_into().unwrap()
    }

    #[test]
    fn turns_and_flips_move_pixels_where_they_belong() {
        let frame = small();
        let top_left = pixel(&frame, 0, 0);
        let quarter = quarter_turns(&frame, 1);
        assert_eq!((quarter.width(), quarter.height(), pixel(&quarter, 1, 0)), (2, 4, top_left));
        assert_eq!(pixel(&quarter_turns(&frame, 2), 3, 1), top_left);
        assert_eq!(pixel(&quarter_turns(&frame, 3), 0, 3), top_left);
        assert_eq!(pixel(&mirror(&frame), 3, 0), top_left);
        assert_eq!(pixel(&upside_down(&frame), 0, 1), top_left);
    }

    #[test]
    fn turning_by_an_angle_turns_clockwise_and_leaves_black_corners() {
        let mut pixels = vec![200; 3 * 41 * 41];
        let top_middle = 3 * (5 * 41 + 20);
        pixels[top_middle..top_middle + 3].fill(0);
        let frame = Frame::new(41, 41, pixels).unwrap();
        assert_eq!(rotate(&frame, 0.0).pixels(), frame.pixels());
        let turned = rotate(&frame, 90.0);
        assert_eq!(turned.pixels(), quarter_turns(&frame, 1).pixels());
        assert_eq!(pixel(&turned, 35, 20), [0; 3], "what was above is on the right");
        let slight = rotate(&frame, 10.0);
        assert_eq!((pixel(&slight, 0, 0), pixel(&slight, 20, 20)), ([0; 3], [200; 3]));
    }

    #[test]
    fn sizes_are_cut_to_what_there_is() {
        let frame = small();
        let size = |frame: &Frame| (frame.width(), frame.height());
        assert_eq!(size(&resize(&frame, 0, 9)), (1, 9));
        assert_eq!(size(&crop(&frame, (1, 1), (9, 9))), (3, 1));
        assert_eq!(crop(&frame, (1, 1), (1, 1)).pixels(), pixel(&frame, 1, 1));
        let framed = border(&frame, 2, [1, 2, 3]);
        assert_eq!((size(&framed), pixel(&framed, 0, 0), pixel(&framed, 2, 2)), ((8, 6), [1, 2, 3], pixel(&frame, 0, 0)));
    }

    #[test]
    fn tones_do_what_they_say() {
        let frame = Frame::new(1, 1, vec![100, 128, 250]).unwrap();
        assert_eq!(tone(&frame, 1.0, 20.0).pixels(), [120, 148, 255]);
        assert_eq!(tone(&frame, 0.5, 0.0).pixels(), [114, 128, 189]);
        assert_eq!(gamma(&frame, 2.0).pixels(), [39, 64, 245]);
        assert_eq!(grey(&frame).pixels(), [134; 3]); // 29.9 + 75.136 + 28.5
        let edge = Frame::new(2, 1, vec![0, 0, 0, 200, 200, 200]).unwrap();
        let soft = blur(&edge, 1.0);
        assert!(soft.pixels()[0] > 20 && soft.pixels()[3] < 180, "{:?}", soft.pixels());
    }
}
