//! CSV with a header: fields by name, quoted or not, lines that end in \n or \r\n, a byte order mark or none.

use std::path::Path;

use csv::{ByteRecord, ErrorKind, ReaderBuilder, Terminator};

use super::{
    Columns, DatasetError, KeepIds, Place,
    builder::{Builder, Row},
    source::{BUFFER, Source, Tally},
    values::{label, score, weight},
};

/// Where the columns stand.
struct Picked {
    score: usize,
    label: Option<usize>,
    id: Option<usize>,
    weight: Option<usize>,
    group: Option<usize>,
    slice: Option<usize>,
}

pub(super) fn read(file: &Path, columns: &Columns, builder: &mut Builder, tally: &mut Tally<'_>) -> Result<(), DatasetError> {
    let source = Source::open(file, tally)?;
    // With records that end at \n and nowhere else, the reader's count of lines is exact; what \r leaves behind is taken off below.
    let mut settings = ReaderBuilder::new();
    let settings = settings.terminator(Terminator::Any(b'\n')).flexible(true).buffer_capacity(BUFFER);
    let mut reader = settings.from_reader(source);
    let wrong = |error: csv::Error| explain(file, error);
    let header = reader.byte_headers().map_err(wrong)?.clone();
    let picked = Picked::of(&header, columns, builder).map_err(|detail| DatasetError::file(file, detail))?;
    let (mut record, mut line) = (ByteRecord::new(), reader.position().line());
    while reader.read_byte_record(&mut record).map_err(wrong)? {
        reader.get_mut().record_ended();
        let (before, after) = (line, reader.position().line());
        line = after;
        if record.len() == 1 && record[0].trim_ascii().is_empty() {
            continue;
        }
        // Blank lines before a record and line breaks inside it are rare.
        let start = if after - before == 1 { before } else { after - 1 - breaks(&record) };
        let row = picked.row(&record, header.len()).and_then(|row| builder.push(row, Place::Line(start)));
        row.map_err(|detail| DatasetError::row(file, Place::Line(start), detail))?;
    }
    Ok(())
}

/// Line breaks inside the fields.
fn breaks(record: &ByteRecord) -> u64 {
    record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64
}

impl Picked {
    fn of(header: &ByteRecord, columns: &Columns, builder: &mut Builder) -> Result<Self, String> {
        if header.iter().all(|name| name.trim_ascii().is_empty()) {
            return Err("is empty; its first line must name the columns, such as id,score,label".to_owned());
        }
        for name in header {
            builder.see_column(&String::from_utf8_lossy(name.trim_ascii()), columns);
        }
        let find = |wanted: &str| {
            let mut found = header.iter().enumerate().filter(|(_, name)| name.trim_ascii() == wanted.as_bytes()).map(|(at, _)| at);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(format!("two columns are called {wanted}")),
                (at, None) => Ok(at),
            }
        };
        let need = |wanted: &str| {
            let names = || header.iter().take(20).map(String::from_utf8_lossy).collect::<Vec<_>>().join(", ");
            find(wanted)?.ok_or_else(|| format!("there is no column {wanted}; the first line names {}", names()))
        };
        let optional = |wanted: &Option<String>| wanted.as_deref().map(need).transpose();
        Ok(Self {
            score: need(&columns.score)?,
            label: optional(&columns.label)?,
            id: if columns.ids == KeepIds::Need { Some(need(&columns.id)?) } else { find(&columns.id)? },
            weight: optional(&columns.weight)?,
            group: optional(&columns.group)?,
            slice: optional(&columns.slice)?,
        })
    }

    fn row<'a>(&self, record: &'a ByteRecord, fields: usize) -> Result<Row<'a>, String> {
        if record.len() != fields {
            return Err(format!("has {} fields where the first line has {fields}", record.len()));
        }
        let text = |at: usize| {
            let text = &record[at];
            if at + 1 == fields { text.strip_suffix(b"\r").unwrap_or(text) } else { text }
        };
        Ok(Row {
            score: score(&record[self.score])?,
            positive: self.label.map_or(Ok(false), |at| label(&record[at]))?,
            weight: self.weight.map(|at| weight(&record[at])).transpose()?,
            id: self.id.map(text),
            group: self.group.map(text),
            slice: self.slice.map(text),
        })
    }
}

fn explain(file: &Path, error: csv::Error) -> DatasetError {
    match error.into_kind() {
        ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => DatasetError::file(file, error.to_string()),
        ErrorKind::Io(error) => DatasetError::io(file, error),
        other => DatasetError::file(file, format!("{other:?}")),
    }
}
