//! A JPEG of any layout to planes of samples: every partition and order of scans, every sampling.
//!
//! A sequential scan holds its blocks whole, so they become samples at once. Progressive scans are collected as coefficients until the
//! end. Both areas are made here and begin as zeros, so nothing of another picture can show.

use super::super::error::Fault;
use super::super::work::Work;
use super::blocks::{self, Progress};
use super::head::{Colour, Component, Found, Frame, MAX_COMPONENTS, Part, Reader, Scan};
use super::huffman::{Bits, Code, Table};
use super::idct;

/// How often each block may be visited: ordinary progressive files visit luma six times (cjpeg's script) or ten (mozjpeg's).
const MAX_VISITS_PER_BLOCK: usize = 64;
/// Visits that are always allowed (milliseconds), so that small pictures may have scripts of any length.
const FREE_VISITS: usize = 1 << 20;
/// Scans at all; each builds its tables anew.
const MAX_SCANS: usize = 1000;

/// What a scan's tables cost; a block that is read whole, or visited by one of many scans, or made samples of; and a stored byte, of eight codes; in nanoseconds.
const TABLES: u64 = 10_000;
const WHOLE: u64 = 300;
const VISIT: u64 = 20;
const FINISHED: u64 = 200;
const STORED: u64 = 40;

/// One component's samples, and what collects them.
pub(super) struct Plane {
    pub(super) component: Component,
    /// Size in samples that belong to the picture.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Blocks that hold samples of the picture; a scan of this component alone has no others.
    pub(super) blocks_wide: usize,
    pub(super) blocks_high: usize,
    /// Blocks in a row of the areas below, which hold whole interleaved units.
    pub(super) blocks_stride: usize,
    /// Rows of `8 * blocks_stride` samples.
    pub(super) samples: Vec<u8>,
    /// Progressive only: 64 a block, in natural order.
    pub(super) coefficients: Vec<i16>,
    pub(super) progress: Progress,
    /// The quantization table as it was when the component's first scan began.
    pub(super) quantization: Option<[u16; 64]>,
}

impl Plane {
    fn new(frame: &Frame, component: Component) -> Self {
        let (units_wide, units_high) = units(frame);
        let width = (frame.width * component.h).div_ceil(frame.max_h);
        let height = (frame.height * component.v).div_ceil(frame.max_v);
        let blocks = units_wide * component.h * units_high * component.v;
        Self {
            component,
            width,
            height,
            blocks_wide: width.div_ceil(8),
            blocks_high: height.div_ceil(8),
            blocks_stride: units_wide * component.h,
            // What no scan sends is grey, as libjpeg has it.
            samples: vec![128; 64 * blocks],
            coefficients: if frame.progressive { vec![0; 64 * blocks] } else { Vec::new() },
            progress: Progress::default(),
            quantization: None,
        }
    }

    fn put(&mut self, row: usize, column: usize, block: &[i16; 64], quantization: &[u16; 64]) {
        let stride = 8 * self.blocks_stride;
        idct::inverse(block, quantization, &mut self.samples[8 * row * stride + 8 * column..], stride);
    }
}

/// Interleaved units in a row, and rows of them.
fn units(frame: &Frame) -> (usize, usize) {
    (frame.width.div_ceil(8 * frame.max_h), frame.height.div_ceil(8 * frame.max_v))
}

/// A whole picture as it is stored.
pub(super) struct Planes {
    pub(super) frame: Frame,
    pub(super) colour: Colour,
    /// One to [`MAX_COMPONENTS`].
    pub(super) planes: Vec<Plane>,
}

impl Planes {
    /// Decodes everything. `reader` stands behind the header of the first scan, which is `scan`.
    pub(super) fn decode(mut reader: Reader<'_>, mut scan: Scan, work: &Work) -> Result<Self, Fault> {
        let frame = reader.frame.clone().ok_or_else(|| Fault::malformed("no frame header"))?;
        if frame.components.iter().any(|c| frame.max_h % c.h != 0 || frame.max_v % c.v != 0) {
            return Err(Fault::unsupported("sampling factors that do not divide the largest"));
        }
        if frame.width == 0 || frame.height == 0 {
            return Err(Fault::malformed("a side of zero pixels"));
        }
        let colour = reader.colour();
        let planes = frame.components.iter().map(|&component| Plane::new(&frame, component)).collect();
        let mut picture = Self { frame, colour, planes };
        let blocks: usize = picture.planes.iter().map(|plane| plane.blocks_wide * plane.blocks_high).sum();
        let (mut visits, mut scans) = (0, 0);
        loop {
            visits += scan.parts.iter().map(|part| picture.planes[part.component].samples.len() / 64).sum::<usize>();
            scans += 1;
            if visits > FREE_VISITS.max(blocks.saturating_mul(MAX_VISITS_PER_BLOCK)) || scans > MAX_SCANS {
                return Err(Fault::unsupported("more scans than any encoder writes"));
            }
            picture.read_scan(&mut reader, &scan, work)?;
            match reader.next()? {
                Found::Scan(next) => scan = next,
                Found::End => break,
                // An encoder that was stopped, or a copy without its last bytes: fine, as long as nothing of the picture is missing.
                Found::Cut if picture.planes.iter().all(|plane| plane.progress.is_complete()) => break,
                Found::Cut => return Err(Fault::malformed("the picture is cut short")),
            }
        }
        if picture.frame.progressive {
            picture.finish(work)?;
        }
        Ok(picture)
    }

    fn read_scan(&mut self, reader: &mut Reader<'_>, scan: &Scan, work: &Work) -> Result<(), Fault> {
        work.spend(TABLES, "scans of a JPEG")?;
        for part in &scan.parts {
            let plane = &mut self.planes[part.component];
            if plane.quantization.is_none() {
                let table = reader.quantization.get(plane.component.table).copied().flatten();
                plane.quantization = Some(table.ok_or_else(|| Fault::malformed("a quantization table is missing"))?);
            }
            plane.progress.advance(self.frame.progressive, scan)?;
        }
        let tables = Tables::new(reader, scan, self.frame.progressive)?;
        let mut state = State { bits: Bits::new(reader.bytes, reader.at), predictions: [0; MAX_COMPONENTS], end_of_band: 0 };
        let (wide, high) = match *scan.parts {
            [Part { component, .. }] => (self.planes[component].blocks_wide, self.planes[component].blocks_high),
            _ => units(&self.frame),
        };
        let (mut until_restart, mut number) = (reader.restart, 0);
        let blocks = wide as u64 * self.blocks_in_unit(scan);
        let mut read = state.bits.at();
        for row in 0..high {
            work.spend(blocks * if self.frame.progressive { VISIT } else { WHOLE }, "scans of a JPEG")?;
            for column in 0..wide {
                if reader.restart > 0 {
                    if until_restart == 0 {
                        state.bits.restart(number)?;
                        (state.predictions, state.end_of_band) = ([0; MAX_COMPONENTS], 0);
                        (until_restart, number) = (reader.restart, (number + 1) % 8);
                    }
                    until_restart -= 1;
                }
                self.read_unit(&mut state, &tables, scan, row, column)?;
            }
            work.spend(STORED * (state.bits.at() - read) as u64, "bytes in the scans of a JPEG")?;
            read = state.bits.at();
        }
        reader.at = state.bits.at();
        Ok(())
    }

    fn blocks_in_unit(&self, scan: &Scan) -> u64 {
        match *scan.parts {
            [_] => 1,
            ref parts => parts.iter().map(|part| &self.planes[part.component].component).map(|c| (c.h * c.v) as u64).sum(),
        }
    }

    fn read_unit(&mut self, state: &mut State<'_>, tables: &Tables, scan: &Scan, row: usize, column: usize) -> Result<(), Fault> {
        for (number, part) in scan.parts.iter().enumerate() {
            let plane = &mut self.planes[part.component];
            let (h, v) = if scan.parts.len() == 1 { (1, 1) } else { (plane.component.h, plane.component.v) };
            for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                let (row, column) = (row * v + y, column * h + x);
                let prediction = &mut state.predictions[number];
                let (dc, ac) = (tables.dc[number].as_ref(), tables.ac[number].as_ref());
                if self.frame.progressive {
                    let at = 64 * (row * plane.blocks_stride + column);
                    let block = &mut plane.coefficients[at..at + 64];
                    match (scan.first, scan.high, dc, ac) {
                        (0, 0, Some(dc), _) => blocks::dc_first(&mut state.bits, dc, prediction, scan.low, block)?,
                        (0, _, _, _) => blocks::dc_again(&mut state.bits, scan.low, block)?,
                        (_, 0, _, Some(ac)) => blocks::ac_first(&mut state.bits, ac, &mut state.end_of_band, scan, block)?,
                        (_, _, _, Some(ac)) => blocks::ac_again(&mut state.bits, ac, &mut state.end_of_band, scan, block)?,
                        _ => return Err(Fault::malformed("a Huffman table is missing")),
                    }
                } else if let (Some(dc), Some(ac), Some(quantization)) = (dc, ac, plane.quantization) {
                    let block = blocks::sequential(&mut state.bits, dc, ac, prediction)?;
                    plane.put(row, column, &block, &quantization);
                }
            }
        }
        Ok(())
    }

    /// Whether the planes know so little that readers guess: all averages are known, of all planes, but some low coefficient of one is not exact. libjpeg estimates those from the
    /// neighbours (ITU-T T.81, section K.8), libjpeg-turbo in one way before release 3.0.1 and in another since; at 60x100 pixels the PDQ of one is 18 bits off the other's.
    fn lack_scans(&self) -> bool {
        // The coefficients that libjpeg estimates, in natural order; in stored order they are the first nine.
        const ESTIMATED: [usize; 9] = [1, 8, 16, 9, 2, 3, 10, 17, 24];
        let known = |plane: &Plane| {
            let factors = plane.quantization.is_some_and(|table| table[0] != 0 && ESTIMATED.iter().all(|&place| table[place] != 0));
            factors && plane.progress.low[0] >= 0
        };
        let inexact = |plane: &Plane| plane.progress.low[1..=ESTIMATED.len()].iter().any(|&low| low != 0);
        self.planes.iter().all(known) && self.planes.iter().any(inexact)
    }

    /// Turns collected coefficients into samples.
    fn finish(&mut self, work: &Work) -> Result<(), Fault> {
        if self.lack_scans() {
            return Err(Fault::unsupported("a progressive picture that lacks scans"));
        }
        for plane in &mut self.planes {
            // No scan, no samples: the plane stays grey.
            let Some(quantization) = plane.quantization else { continue };
            for row in 0..plane.blocks_high {
                work.spend(FINISHED * plane.blocks_wide as u64, "blocks of a JPEG")?;
                for column in 0..plane.blocks_wide {
                    let at = 64 * (row * plane.blocks_stride + column);
                    let mut block = [0; 64];
                    block.copy_from_slice(&plane.coefficients[at..at + 64]);
                    plane.put(row, column, &block, &quantization);
                }
            }
        }
        Ok(())
    }
}

/// Where a scan's decoding stands.
struct State<'a> {
    bits: Bits<'a>,
    /// Of each part's zeroth coefficient.
    predictions: [i32; MAX_COMPONENTS],
    /// Blocks of which this band holds nothing more.
    end_of_band: u32,
}

/// The codes of each part of a scan, those that it uses.
struct Tables {
    dc: [Option<Table>; MAX_COMPONENTS],
    ac: [Option<Table>; MAX_COMPONENTS],
}

impl Tables {
    fn new(reader: &Reader<'_>, scan: &Scan, progressive: bool) -> Result<Self, Fault> {
        let missing = || Fault::malformed("a Huffman table is missing");
        let mut tables = Self { dc: [const { None }; MAX_COMPONENTS], ac: [const { None }; MAX_COMPONENTS] };
        for (number, part) in scan.parts.iter().enumerate() {
            let implied = |code: fn(usize) -> Option<Code>, number: usize| if progressive { None } else { code(number) };
            if !progressive || (scan.first == 0 && scan.high == 0) {
                let code = reader.dc[part.dc].clone().or_else(|| implied(Code::standard_dc, part.dc));
                // A difference of 8-bit samples' coefficients has at most 11 bits; libjpeg allows what fits its integers.
                tables.dc[number] = Some(code.ok_or_else(missing)?.table(15)?);
            }
            if !progressive || scan.first > 0 {
                let code = reader.ac[part.ac].clone().or_else(|| implied(Code::standard_ac, part.ac));
                tables.ac[number] = Some(code.ok_or_else(missing)?.table(255)?);
            }
        }
        Ok(tables)
    }
}
