//! A bank's parts written and read: see [`stored`](super::stored).

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use rayon::prelude::*;

use super::{
    Bank,
    bank::Shape,
    digests::Digest,
    embedding::Embedding,
    ids::Ids,
    index::{Index, LARGEST, Part, Sealed},
    kind::{Held, Kind, Rows},
    pdq::Pdq,
    photodna::PhotoDna,
    signals::SignalIndex,
    states::States,
    stored::{Content, Input, Output, SegmentId, Unreadable},
};
use crate::domain::signal::{Signal, SignalType};

/// Bytes of the longest signal: an embedding.
const LARGEST_SIGNAL: usize = Signal::MOST_DIMENSIONS * size_of::<f32>();

/// Opens a segment's bytes, and says how many they are.
pub type Open<'a> = &'a (dyn Fn(SegmentId) -> io::Result<(Box<dyn Read>, u64)> + Sync);

/// A bank without its segments, as it was written.
pub struct StoredBank {
    label: Vec<u8>,
    number: i64,
    version: i64,
    last_signal: i64,
    indices: Vec<StoredIndex>,
}

/// One index of it.
pub(super) struct StoredIndex {
    shape: Shape,
    highest: Option<i64>,
    repeats: bool,
    segments: Vec<StoredPart>,
    tail: Vec<(i64, Signal)>,
    states: Option<States>,
}

struct StoredPart {
    id: SegmentId,
    len: usize,
    states: Option<States>,
}

impl Bank {
    /// The segments that it is made of, beside what [`write`](Self::write) writes.
    pub fn segments(&self) -> Vec<SegmentId> {
        self.indices.values().flat_map(|index| index.segments()).collect()
    }

    /// Writes a segment.
    ///
    /// # Errors
    /// `to`'s, and [`io::ErrorKind::NotFound`] for a segment that is not the bank's.
    pub fn write_segment(&self, id: SegmentId, to: &mut dyn Write) -> io::Result<()> {
        let index = self.indices.values().find(|index| index.segments().contains(&id)).ok_or(io::ErrorKind::NotFound)?;
        index.write_segment(id, to)
    }

    /// Writes everything but its settings and segments: which these are, states, what is not indexed yet, and the number, version and last signal that all this is of. `label` is the
    /// caller's: up to 4096 bytes that are read back.
    ///
    /// # Errors
    /// `to`'s.
    pub fn write(&self, label: &[u8], to: &mut dyn Write) -> io::Result<()> {
        let mut to = Output::new(to, Content::Bank)?;
        to.text(label)?;
        for number in [self.number, self.version, self.last_signal, self.indices.len() as i64] {
            to.number(number)?;
        }
        for ((kind, bytes), index) in &self.indices {
            to.text(kind.as_str().as_bytes())?;
            to.number(*bytes as i64)?;
            index.write(&mut to)?;
        }
        to.finish()
    }
}

impl StoredBank {
    /// Reads what [`Bank::write`] wrote, `size` bytes in all.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn read(from: &mut dyn Read, size: u64) -> Result<Self, Unreadable> {
        let mut from = Input::new(from, size, Content::Bank)?;
        let label = from.text()?;
        let (number, version, last_signal) = (from.number()?, from.number()?, from.number()?);
        let indices = (0..from.count()?).map(|_| StoredIndex::read(&mut from)).collect::<Result<_, _>>()?;
        from.finish()?;
        Ok(Self { label, number, version, last_signal, indices })
    }

    /// What the writer's label says.
    pub fn label(&self) -> &[u8] {
        &self.label
    }

    /// The bank's number, its version, and its last signal.
    pub const fn numbers(&self) -> (i64, i64, i64) {
        (self.number, self.version, self.last_signal)
    }

    /// Reads the segments, on all threads of the current pool, into an empty bank with its settings.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn into_bank(self, mut bank: Bank, open: Open<'_>) -> Result<Bank, Unreadable> {
        (bank.number, bank.version, bank.last_signal) = (self.number, self.version, self.last_signal);
        for stored in self.indices {
            bank.indices.insert(stored.shape, restore(stored, open)?);
        }
        Ok(bank)
    }
}

fn restore(stored: StoredIndex, open: Open<'_>) -> Result<Box<dyn SignalIndex>, Unreadable> {
    fn of<K: Kind>(kind: K, stored: StoredIndex, open: Open<'_>) -> Result<Box<dyn SignalIndex>, Unreadable> {
        Ok(Box::new(Index::restore(kind, stored, open)?))
    }
    match stored.shape {
        (SignalType::Md5, 16) => of(Digest::<16>, stored, open),
        (SignalType::Sha1, 20) => of(Digest::<20>, stored, open),
        (SignalType::Sha256, 32) => of(Digest::<32>, stored, open),
        (SignalType::Pdq, 32) => of(Pdq, stored, open),
        (SignalType::PhotoDna, bytes @ (144 | 924)) => of(PhotoDna::of(bytes), stored, open),
        (SignalType::Embedding(model), bytes)
            if bytes > 0 && bytes % size_of::<f32>() == 0 && bytes / size_of::<f32>() <= Signal::MOST_DIMENSIONS =>
        {
            of(Embedding::of(model, bytes), stored, open)
        }
        _ => Err(Unreadable::Damaged("a type of signals does not have this length")),
    }
}

impl StoredIndex {
    fn read(from: &mut Input) -> Result<Self, Unreadable> {
        let kind = String::from_utf8(from.text()?).ok().and_then(|name| name.parse().ok());
        let kind: SignalType = kind.ok_or(Unreadable::Damaged("a type of signals is unknown"))?;
        // It is checked against the type once it is clear which one that is.
        let bytes = from.number()?;
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= LARGEST_SIGNAL).ok_or(Unreadable::Damaged("a signal's length"))?;
        let highest = from.number()?;
        let (highest, repeats) = (from.switch()?.then_some(highest), from.switch()?);
        let part = |from: &mut Input| {
            let (id, len) = (from.id()?, from.number()?);
            let len =
                usize::try_from(len).ok().filter(|len| (1..=LARGEST).contains(len)).ok_or(Unreadable::Damaged("a segment's length"))?;
            Ok::<_, Unreadable>(StoredPart { id, len, states: read_states(from, len)? })
        };
        let segments = (0..from.count()?).map(|_| part(from)).collect::<Result<_, _>>()?;
        let len = from.count()?;
        let ids: Vec<i64> = from.column(len)?;
        let forms: Vec<u8> = from.column(len.checked_mul(bytes).ok_or(Unreadable::Damaged("the tail is too long"))?)?;
        let signal = |(id, form): (i64, &[u8])| Some((id, Signal::from_parts(kind, form)?));
        let signals = ids.into_iter().zip(forms.chunks_exact(bytes.max(1))).map(signal);
        let tail: Vec<(i64, Signal)> = signals.collect::<Option<_>>().ok_or(Unreadable::Damaged("a signal of the tail"))?;
        if tail.len() != len {
            return Err(Unreadable::Damaged("the tail is too short"));
        }
        Ok(Self { shape: (kind, bytes), highest, repeats, segments, tail, states: read_states(from, len)? })
    }
}

fn write_states(states: Option<&States>, to: &mut Output) -> io::Result<()> {
    to.number(i64::from(states.is_some()))?;
    match states {
        Some(states) => states.columns().into_iter().try_for_each(|column| to.column(column)),
        None => Ok(()),
    }
}

fn read_states(from: &mut Input, len: usize) -> Result<Option<States>, Unreadable> {
    if !from.switch()? {
        return Ok(None);
    }
    let words = len.div_ceil(u64::BITS as usize);
    let columns: [Vec<u64>; 2] = [from.column(words)?, from.column(words)?];
    let behind = match len % u64::BITS as usize {
        0 => 0,
        used => u64::MAX << used,
    };
    if columns.iter().any(|column| column.last().is_some_and(|last| last & behind != 0)) {
        return Err(Unreadable::Damaged("states of signals that there are not"));
    }
    let [disabled, removed] = columns;
    Ok(Some(States::of_columns(disabled, removed)))
}

impl<K: Kind> Index<K> {
    /// Writes a segment under the name that it has.
    pub(super) fn write_segment(&self, id: SegmentId, to: &mut dyn Write) -> io::Result<()> {
        let part = self.segments.iter().find(|part| part.data.id == id).ok_or(io::ErrorKind::NotFound)?;
        let mut to = Output::new(to, Content::Segment)?;
        to.id(id)?;
        to.text(self.kind.signal_type().as_str().as_bytes())?;
        to.number(part.data.len() as i64)?;
        part.data.ids.write(&mut to)?;
        K::write(&part.data.segment, &mut to)?;
        to.finish()
    }

    fn read_segment(kind: &K, stored: StoredPart, open: Open<'_>) -> Result<Part<Sealed<K>>, Unreadable> {
        let StoredPart { id, len, states } = stored;
        let (mut bytes, size) = open(id)?;
        let mut from = Input::new(&mut *bytes, size, Content::Segment)?;
        if from.id()? != id || from.text()? != kind.signal_type().as_str().as_bytes() || from.number()? != len as i64 {
            return Err(Unreadable::Damaged("it is another segment"));
        }
        let ids = Ids::read(len, &mut from)?;
        let segment = kind.read(len, &mut from)?;
        from.finish()?;
        Ok(Part { data: Arc::new(Sealed { id, ids, segment }), states: states.map(Arc::new) })
    }

    /// Everything but the segments.
    pub(super) fn write(&self, to: &mut Output) -> io::Result<()> {
        to.number(self.highest.unwrap_or_default())?;
        to.number(i64::from(self.highest.is_some()))?;
        to.number(i64::from(self.repeats))?;
        to.number(self.segments.len() as i64)?;
        for part in &self.segments {
            to.id(part.data.id)?;
            to.number(part.data.len() as i64)?;
            write_states(part.states.as_deref(), to)?;
        }
        let tail = &self.tail.data;
        to.number(tail.len() as i64)?;
        to.column(&tail.ids)?;
        let forms: Vec<u8> = (0..tail.len() as u32).flat_map(|at| self.kind.signal(tail.rows.get(at)).to_bytes()).collect();
        to.column(&forms)?;
        write_states(self.tail.states.as_deref(), to)
    }

    fn restore(kind: K, stored: StoredIndex, open: Open<'_>) -> Result<Self, Unreadable> {
        let mut index = Self::of(kind);
        let read = |part| Self::read_segment(&index.kind, part, open);
        let segments = stored.segments.into_par_iter().map(read).collect::<Result<_, _>>()?;
        index.segments = segments;
        let mut tail = index.kind.rows();
        for (_, signal) in &stored.tail {
            tail.push(&index.kind.item(signal).ok_or(Unreadable::Damaged("a signal of the tail"))?);
        }
        let ids = stored.tail.into_iter().map(|(id, _)| id).collect();
        index.tail = Part { data: Arc::new(super::index::Tail { rows: tail, ids }), states: stored.states.map(Arc::new) };
        (index.highest, index.repeats) = (stored.highest, stored.repeats);
        index.len = index.segments.iter().map(|part| part.data.len() - part.removals()).sum::<usize>() + index.tail.data.len()
            - index.tail.removals();
        Ok(index)
    }
}
