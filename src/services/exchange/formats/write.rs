//! Lists out of banks.

use std::io::{self, Write};

use serde_json::Value;

use super::{Format, arachnid, lines, ncmec, stopncii, table, tat, threatexchange};
use crate::domain::{bank::HarmCategory, signal::Signal, time::Timestamp};

/// What is written of one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The content id.
    pub id: i64,
    pub signals: Vec<Signal>,
    pub category: Option<HarmCategory>,
    pub source: Option<String>,
    pub note: Option<String>,
    pub added_on: Option<Timestamp>,
    pub tags: Vec<String>,
}

/// Writes a list, item by item. Signals of types that the format does not have are left out and counted.
pub struct Writer<W> {
    format: Format,
    out: W,
    elements: u64,
    /// Signals given and signals written.
    given: u64,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a list.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn begin(format: Format, mut out: W) -> io::Result<Self> {
        match format {
            Format::Lines | Format::Arachnid => {}
            Format::Csv => table::begin(&mut out)?,
            Format::Ncmec => ncmec::begin(&mut out)?,
            Format::ThreatExchange => threatexchange::begin(&mut out)?,
            Format::StopNcii => stopncii::begin(&mut out)?,
            Format::Tat => tat::begin(&mut out)?,
        }
        Ok(Self { format, out, elements: 0, given: 0, written: 0 })
    }

    /// Adds an item.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, item: &Item) -> io::Result<()> {
        self.given += item.signals.len() as u64;
        self.written += item.signals.iter().filter(|signal| self.format.has(signal)).count() as u64;
        match self.format {
            Format::Lines => lines::write(item, &mut self.out),
            Format::Csv => table::write(item, &mut self.out),
            Format::Ncmec => ncmec::write(item, &mut self.out),
            Format::Arachnid => arachnid::write(item, &mut self.out),
            Format::ThreatExchange => self.elements(threatexchange::elements(item)),
            Format::StopNcii => self.elements(stopncii::elements(item)),
            Format::Tat => self.elements(tat::elements(item)),
        }
    }

    fn elements(&mut self, elements: Vec<Value>) -> io::Result<()> {
        for element in elements {
            self.out.write_all(if self.elements == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut self.out, &element)?;
            self.elements += 1;
        }
        Ok(())
    }

    /// Ends the list; gives the output back and how many signals were written, and left out.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> io::Result<(W, u64, u64)> {
        match self.format {
            Format::Lines | Format::Arachnid | Format::Csv => {}
            Format::Ncmec => ncmec::end(&mut self.out)?,
            Format::ThreatExchange => threatexchange::end(&mut self.out)?,
            Format::StopNcii => stopncii::end(&mut self.out)?,
            Format::Tat => tat::end(&mut self.out)?,
        }
        self.out.flush()?;
        Ok((self.out, self.written, self.given - self.written))
    }
}
