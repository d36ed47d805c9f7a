//! One block's coefficients from the bits of a scan (ITU-T T.81, annexes F and G).
//!
//! Coefficients that leave 16 bits wrap, as in libjpeg; only damage makes such.

use super::super::error::Fault;
use super::head::{Scan, ZIGZAG};
use super::huffman::{Bits, Table};

/// What has been sent of one component.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Per coefficient in stored order, the lowest bit that is known; -1 where nothing is.
    pub(super) low: [i8; 64],
}

impl Default for Progress {
    fn default() -> Self {
        Self { low: [-1; 64] }
    }
}

impl Progress {
    /// Whether nothing is left to send.
    pub(super) fn is_complete(&self) -> bool {
        self.low == [0; 64]
    }

    /// Notes a scan. Every order that the standard allows passes; libjpeg warns of the others and goes on with what cannot be right.
    pub(super) fn advance(&mut self, progressive: bool, scan: &Scan) -> Result<(), Fault> {
        if !progressive {
            if self.is_complete() {
                return Err(Fault::malformed("a component that is sent twice"));
            }
            self.low = [0; 64];
            return Ok(());
        }
        if scan.first > 0 && self.low[0] < 0 {
            return Err(Fault::malformed("a progressive scan before that of the zeroth coefficient"));
        }
        for low in &mut self.low[scan.first..=scan.last] {
            if i16::from(*low).max(0) != i16::from(scan.high) {
                return Err(Fault::malformed("a progressive scan that refines what was not sent"));
            }
            *low = scan.low as i8;
        }
        Ok(())
    }
}

fn corrupt() -> Fault {
    Fault::malformed("more coefficients than a block or its scan holds")
}

/// A whole block in natural order.
pub(super) fn sequential(bits: &mut Bits<'_>, dc: &Table, ac: &Table, prediction: &mut i32) -> Result<[i16; 64], Fault> {
    let mut block = [0; 64];
    let size = bits.decode(dc)?;
    *prediction = prediction.wrapping_add(bits.read_signed(size.into())?);
    block[0] = *prediction as i16;
    let mut at = 1;
    while at < 64 {
        let symbol = bits.decode(ac)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run < 15 {
                break;
            }
            at += 16;
            continue;
        }
        at += run;
        let place = ZIGZAG.get(at).ok_or_else(corrupt)?;
        block[usize::from(*place)] = bits.read_signed(size)? as i16;
        at += 1;
    }
    Ok(block)
}

pub(super) fn dc_first(bits: &mut Bits<'_>, dc: &Table, prediction: &mut i32, low: u8, block: &mut [i16]) -> Result<(), Fault> {
    let size = bits.decode(dc)?;
    *prediction = prediction.wrapping_add(bits.read_signed(size.into())?);
    block[0] = (*prediction << low) as i16;
    Ok(())
}

pub(super) fn dc_again(bits: &mut Bits<'_>, low: u8, block: &mut [i16]) -> Result<(), Fault> {
    if bits.read(1)? != 0 {
        block[0] |= 1 << low;
    }
    Ok(())
}

pub(super) fn ac_first(bits: &mut Bits<'_>, ac: &Table, end_of_band: &mut u32, scan: &Scan, block: &mut [i16]) -> Result<(), Fault> {
    if *end_of_band > 0 {
        *end_of_band -= 1;
        return Ok(());
    }
    let mut at = scan.first;
    while at <= scan.last {
        let symbol = bits.decode(ac)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match (size, run) {
            (0, 15) => at += 16,
            (0, _) => {
                *end_of_band = (1 << run) - 1 + bits.read(run)?;
                break;
            }
            _ => {
                at += run as usize;
                let place = ZIGZAG[..=scan.last].get(at).ok_or_else(corrupt)?;
                block[usize::from(*place)] = (bits.read_signed(size)? << scan.low) as i16;
                at += 1;
            }
        }
    }
    Ok(())
}

pub(super) fn ac_again(bits: &mut Bits<'_>, ac: &Table, end_of_band: &mut u32, scan: &Scan, block: &mut [i16]) -> Result<(), Fault> {
    let mut at = scan.first;
    if *end_of_band == 0 {
        while at <= scan.last {
            let symbol = bits.decode(ac)?;
            let (mut run, size) = (u32::from(symbol >> 4), symbol & 15);
            let mut value = 0;
            if size != 0 {
                // Any size but 1 is damage, of which libjpeg only warns.
                if size != 1 {
                    return Err(Fault::malformed("a refined coefficient of more than one bit"));
                }
                value = if bits.read(1)? != 0 { 1 << scan.low } else { -1 << scan.low };
            } else if run < 15 {
                // This block's rest belongs to the band that ends.
                *end_of_band = (1 << run) + bits.read(run)?;
                break;
            }
            // Coefficients that are known already are refined on the way and do not count for the run of zeros.
            while at <= scan.last {
                let known = &mut block[usize::from(ZIGZAG[at])];
                if *known != 0 {
                    refine(bits, scan.low, known)?;
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                at += 1;
            }
            if value != 0 {
                let place = ZIGZAG[..=scan.last].get(at).ok_or_else(corrupt)?;
                block[usize::from(*place)] = value;
            }
            at += 1;
        }
    }
    if *end_of_band > 0 {
        for &place in ZIGZAG.get(at..=scan.last).unwrap_or_default() {
            let known = &mut block[usize::from(place)];
            if *known != 0 {
                refine(bits, scan.low, known)?;
            }
        }
        *end_of_band -= 1;
    }
    Ok(())
}

/// One more bit of a coefficient that is not zero.
fn refine(bits: &mut Bits<'_>, low: u8, known: &mut i16) -> Result<(), Fault> {
    // A bit that is set already is damage or a repeated scan; libjpeg leaves it.
    if bits.read(1)? != 0 && *known & (1 << low) == 0 {
        *known = known.wrapping_add(if *known >= 0 { 1 << low } else { -1 << low });
    }
    Ok(())
}
