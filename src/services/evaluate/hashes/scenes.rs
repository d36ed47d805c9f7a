//! Pictures out of nothing: as many as anybody wants, that nobody owns and that show nothing.

use std::f32::consts::TAU;

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{Rng, SeedableRng},
};

use crate::domain::frame::Frame;

/// Waves that make up the background, and shapes before it.
const WAVES: usize = 12;
const SHAPES: usize = 9;

struct Wave {
    across: f32,
    down: f32,
    phase: [f32; 3],
    height: f32,
}

/// An ellipse or a box with its own colour.
struct Shape {
    ellipse: bool,
    middle: [f32; 2],
    half: [f32; 2],
    colour: [f32; 3],
}

/// Picture `number` of a seed: soft waves whose height falls with their frequency, as a photograph's spectrum does, shapes with hard edges, and grain. 320 to 800 pixels wide, 240 to
/// 600 high; the same on every machine up to the rounding of a sine.
pub fn scene(seed: u64, number: u64) -> Frame {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
    let mut uniform = |low: f32, high: f32| low + (high - low) * ((random.next_u64() >> 40) as f32 / (1u64 << 24) as f32);
    let (width, height) = (uniform(320.0, 800.0) as u32, uniform(240.0, 600.0) as u32);
    let waves: Vec<Wave> = (0..WAVES)
        .map(|_| {
            let (across, down) = (uniform(-9.0, 9.0), uniform(-9.0, 9.0));
            let first = uniform(0.0, TAU);
            let phase = [first, first + uniform(-0.8, 0.8), first + uniform(-0.8, 0.8)];
            Wave { across: TAU * across, down: TAU * down, phase, height: uniform(20.0, 60.0) / across.hypot(down).max(1.0) }
        })
        .collect();
    let shapes: Vec<Shape> = (0..SHAPES)
        .map(|_| Shape {
            ellipse: uniform(0.0, 1.0) < 0.5,
            middle: [uniform(0.0, 1.0), uniform(0.0, 1.0)],
            half: [uniform(0.03, 0.25), uniform(0.03, 0.25)],
            colour: [uniform(-90.0, 90.0), uniform(-90.0, 90.0), uniform(-90.0, 90.0)],
        })
        .collect();
    let slope = [uniform(-60.0, 60.0), uniform(-60.0, 60.0)];
    let mut pixels = Vec::with_capacity(3 * (width * height) as usize);
    for row in 0..height {
        for column in 0..width {
            let place = [column as f32 / width as f32, row as f32 / height as f32];
            let shape = shapes.iter().rev().find(|shape| shape.covers(place));
            for channel in 0..3 {
                let wave = |wave: &Wave| wave.height * (wave.across * place[0] + wave.down * place[1] + wave.phase[channel]).sin();
                let ground = 128.0 + slope[0] * (place[0] - 0.5) + slope[1] * (place[1] - 0.5) + waves.iter().map(wave).sum::<f32>();
                let value = ground + shape.map_or(0.0, |shape| shape.colour[channel]) + uniform(-6.0, 6.0);
                pixels.push(value.clamp(0.0, 255.0) as u8);
            }
        }
    }
    Frame::new(width, height, pixels).expect("three bytes for every pixel")
}

impl Shape {
    fn covers(&self, place: [f32; 2]) -> bool {
        let [across, down] = [0, 1].map(|axis| (place[axis] - self.middle[axis]).abs() / self.half[axis]);
        if self.ellipse { across.hypot(down) <= 1.0 } else { across.max(down) <= 1.0 }
    }
}
