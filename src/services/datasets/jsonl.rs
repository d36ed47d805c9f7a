//! JSON lines: one object a line, the columns as keys. Keys that nobody asked for may hold anything.

use std::{
    borrow::Cow,
    fmt,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};

use super::{
    Columns, DatasetError, KeepIds, LONGEST_RECORD, Place,
    builder::{Builder, Row},
    source::{BUFFER, Source, Tally},
    values::{finite, label, label_of, weight_of},
};

pub(super) fn read(file: &Path, columns: &Columns, builder: &mut Builder, tally: &mut Tally<'_>) -> Result<(), DatasetError> {
    let mut reader = BufReader::with_capacity(BUFFER, Source::open(file, tally)?);
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = Read::take(&mut reader, LONGEST_RECORD as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| DatasetError::io(file, error))?;
        if read == 0 {
            return Ok(());
        }
        reader.get_mut().record_ended();
        number += 1;
        let place = Place::Line(number);
        let wrong = |detail: String| DatasetError::row(file, place, detail);
        if read > LONGEST_RECORD {
            return Err(wrong(format!("is longer than {LONGEST_RECORD} bytes")));
        }
        // A byte order mark, as some editors write it.
        let text = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&line).trim_ascii();
        if text.is_empty() {
            continue;
        }
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let cells = Wanted { columns, builder }.deserialize(&mut deserializer).and_then(|cells| deserializer.end().map(|()| cells));
        let cells = cells.map_err(|error| wrong(format!("{error}; each line must be a JSON object")))?;
        cells.push(columns, builder, place).map_err(wrong)?;
    }
}

/// The cells of a row that somebody asked for.
#[derive(Default)]
struct Cells<'a> {
    score: Option<Cell<'a>>,
    label: Option<Cell<'a>>,
    weight: Option<Cell<'a>>,
    id: Option<Cell<'a>>,
    group: Option<Cell<'a>>,
    slice: Option<Cell<'a>>,
}

/// A scalar.
enum Cell<'a> {
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Number(f64),
    Text(Cow<'a, str>),
    Null,
}

impl Cells<'_> {
    fn push(&self, columns: &Columns, builder: &mut Builder, place: Place) -> Result<(), String> {
        fn need<'a, 'b>(cell: &'b Option<Cell<'a>>, name: &str) -> Result<&'b Cell<'a>, String> {
            cell.as_ref().ok_or_else(|| format!("there is no key {name}"))
        }
        let text = |cell: &'_ Option<Cell<'_>>, name: &Option<String>| match name.as_deref() {
            Some(name) => Ok(Some(need(cell, name)?.text(name)?.into_owned())),
            None => Ok::<_, String>(None),
        };
        let id = match &self.id {
            None if columns.ids != KeepIds::Need => None,
            id => Some(need(id, &columns.id)?.text(&columns.id)?),
        };
        let weight = columns.weight.as_deref().map(|name| weight_of(need(&self.weight, name)?.number("the weight")?));
        let (group, slice) = (text(&self.group, &columns.group)?, text(&self.slice, &columns.slice)?);
        let row = Row {
            score: finite(need(&self.score, &columns.score)?.number("the score")?)?,
            positive: columns.label.as_deref().map_or(Ok(false), |name| need(&self.label, name)?.label())?,
            weight: weight.transpose()?,
            id: id.as_deref(),
            group: group.as_deref(),
            slice: slice.as_deref(),
        };
        builder.push(row, place)
    }
}

impl Cell<'_> {
    fn number(&self, what: &str) -> Result<f64, String> {
        match self {
            Self::Integer(number) => Ok(*number as f64),
            Self::Unsigned(number) => Ok(*number as f64),
            Self::Number(number) => Ok(*number),
            _ => Err(format!("{what} must be a number")),
        }
    }

    fn label(&self) -> Result<bool, String> {
        match self {
            Self::Bool(label) => Ok(*label),
            Self::Text(text) => label(text.as_bytes()),
            number => label_of(number.number("the label")?),
        }
    }

    /// As CSV would have it.
    fn text(&self, what: &str) -> Result<Cow<'_, [u8]>, String> {
        Ok(match self {
            Self::Text(text) => Cow::Borrowed(text.as_bytes()),
            Self::Bool(flag) => Cow::Borrowed(if *flag { b"true" } else { b"false" }),
            Self::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Unsigned(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Number(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Null => return Err(format!("the {what} is null")),
        })
    }
}

/// Picks the wanted keys of an object.
struct Wanted<'a> {
    columns: &'a Columns,
    builder: &'a mut Builder,
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Cells<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cells<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Cells<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cells<'de>, A::Error> {
        let mut cells = Cells::default();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let (name, columns) = (key.0.as_ref(), self.columns);
            let is = |column: &Option<String>| column.as_deref() == Some(name);
            let cell = match name {
                _ if name == columns.score => &mut cells.score,
                _ if is(&columns.label) => &mut cells.label,
                _ if name == columns.id => &mut cells.id,
                _ if is(&columns.weight) => &mut cells.weight,
                _ if is(&columns.group) => &mut cells.group,
                _ if is(&columns.slice) => &mut cells.slice,
                _ => {
                    self.builder.see_column(name, columns);
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if cell.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom(format!("the key {name} stands there twice")));
            }
        }
        Ok(cells)
    }
}

/// A key or a text, borrowed unless it has escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(Scalar)? {
            Cell::Text(text) => Ok(Self(text)),
            _ => Err(D::Error::custom("a key must be a text")),
        }
    }
}

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar)
    }
}

struct Scalar;

impl<'de> Visitor<'de> for Scalar {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text, true or false")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell<'de>, E> {
        Ok(Cell::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell<'de>, E> {
        Ok(Cell::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell<'de>, E> {
        Ok(Cell::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
        Ok(Cell::Null)
    }
}
