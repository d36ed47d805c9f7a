//! Parquet: flat columns by name, one row group after the other, a batch of rows at a time.

use std::{
    fs::File,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use parquet::{
    basic::{ConvertedType, Type},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, DataType},
    errors::ParquetError,
    file::{
        reader::{FileReader, RowGroupReader},
        serialized_reader::SerializedFileReader,
    },
    schema::types::SchemaDescriptor,
};

use super::{
    Columns, DatasetError, KeepIds, Place,
    builder::{Builder, Row},
    pages,
    source::{BUFFER, Tally, open},
    values::{finite, label, label_of, weight_of},
};

/// Rows that are decoded at once.
const BATCH: usize = 8192;

/// A file of any length may have so many rows, and hold so many bytes of pages unpacked at once; a longer one this many times its bytes. Rows and pages that are all alike
/// are packed to almost nothing, and no scores are.
const ROWS: u64 = 1 << 20;
const UNPACKED: u64 = 64 << 20;
const EXPANSION: u64 = 16;

pub(super) fn read(path: &Path, columns: &Columns, builder: &mut Builder, tally: &mut Tally<'_>) -> Result<(), DatasetError> {
    let file = open(path)?;
    digest(&file, tally).map_err(|error| DatasetError::io(path, error))?;
    // The decoder trusts some things that a damaged file says. After a panic the half-built columns are dropped with the error.
    let read = catch_unwind(AssertUnwindSafe(|| read_rows(file, path, columns, builder)));
    read.unwrap_or_else(|_| Err(damaged(path, "the decoder gave up on it")))
}

fn damaged(path: &Path, detail: impl std::fmt::Display) -> DatasetError {
    DatasetError::file(path, format!("is not a Parquet file that can be read: {detail}"))
}

fn read_rows(file: File, path: &Path, columns: &Columns, builder: &mut Builder) -> Result<(), DatasetError> {
    let damaged = |error: ParquetError| damaged(path, error);
    let pages_of = file.try_clone().map_err(|error| DatasetError::io(path, error))?;
    let length = file.metadata().map_err(|error| DatasetError::io(path, error))?.len();
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let picked = Picked::of(schema, columns, builder).map_err(|detail| DatasetError::file(path, detail))?;
    let all_rows = reader.metadata().row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).sum::<u64>();
    let most = ROWS.max(EXPANSION * length);
    if all_rows > most {
        return Err(DatasetError::file(
            path,
            format!("states {all_rows} rows in {length} bytes, of which {most} at most are read; send it as CSV"),
        ));
    }
    let mut rows_before = 0;
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number).map_err(damaged)?;
        let held = picked.held(&pages_of, &*group).map_err(damaged)?;
        let most = UNPACKED.max(EXPANSION * length);
        if held > most {
            let detail = format!("a row group's pages unpack to {held} bytes, more than {most}; write it with smaller pages");
            return Err(DatasetError::file(path, detail));
        }
        let mut batch = picked.open(&*group).map_err(damaged)?;
        let rows =
            usize::try_from(group.metadata().num_rows()).map_err(|_| DatasetError::file(path, "a row group has less than no rows"))?;
        let mut done = 0;
        while done < rows {
            let wanted = BATCH.min(rows - done);
            let place = |at: usize| Place::Row((rows_before + done + at) as u64 + 1);
            let wrong = |(at, detail): (usize, String)| DatasetError::row(path, place(at), detail);
            batch.fill(wanted).map_err(damaged)?.map_err(wrong)?;
            (0..wanted).try_for_each(|at| batch.push(at, builder, place(at)).map_err(|detail| wrong((at, detail))))?;
            done += wanted;
        }
        rows_before += rows;
    }
    Ok(())
}

/// The format is read from its end, so the digest takes a pass of its own.
fn digest(mut file: &File, tally: &mut Tally<'_>) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => tally.add(&buffer[..read]),
        }
    }
}

/// One of each column, or nothing where it is not read.
struct Each<T> {
    score: T,
    label: Option<T>,
    weight: Option<T>,
    id: Option<T>,
    group: Option<T>,
    slice: Option<T>,
}

/// A column's place in the schema, and how its numbers are meant.
#[derive(Clone, Copy)]
struct Leaf {
    at: usize,
    unsigned: bool,
    optional: bool,
}

type Picked = Each<Leaf>;

impl Picked {
    fn of(schema: &SchemaDescriptor, columns: &Columns, builder: &mut Builder) -> Result<Self, String> {
        for column in schema.columns() {
            builder.see_column(column.name(), columns);
        }
        let find = |wanted: &str| {
            let found = schema.columns().iter().position(|column| matches!(column.path().parts(), [name] if name == wanted));
            found.map(|at| leaf(schema, at)).transpose()
        };
        let need = |wanted: &str| {
            let names = || schema.columns().iter().take(20).map(|column| column.path().string()).collect::<Vec<_>>().join(", ");
            find(wanted)?.ok_or_else(|| format!("there is no column {wanted}; there are {}", names()))
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

    /// Bytes that reading the columns of a row group takes at once, by what its pages state.
    fn held(&self, file: &File, group: &dyn RowGroupReader) -> Result<u64, ParquetError> {
        let further = [self.label, self.weight, self.id, self.group, self.slice];
        let leaves = std::iter::once(self.score).chain(further.into_iter().flatten());
        leaves.map(|leaf| pages::held(file, group.metadata().column(leaf.at))).sum()
    }

    fn open(&self, group: &dyn RowGroupReader) -> Result<Each<Column>, ParquetError> {
        let column = |leaf: Leaf| Column::new(group.get_column_reader(leaf.at)?, leaf);
        let optional = |leaf: Option<Leaf>| leaf.map(column).transpose();
        Ok(Each {
            score: column(self.score)?,
            label: optional(self.label)?,
            weight: optional(self.weight)?,
            id: optional(self.id)?,
            group: optional(self.group)?,
            slice: optional(self.slice)?,
        })
    }
}

fn leaf(schema: &SchemaDescriptor, at: usize) -> Result<Leaf, String> {
    let column = schema.column(at);
    let (kind, meaning) = (column.physical_type(), column.converted_type());
    if column.max_rep_level() > 0 || column.max_def_level() > 1 {
        return Err(format!("the column {} is nested; it must hold one value a row", column.name()));
    }
    if matches!(kind, Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY) || meaning == ConvertedType::DECIMAL {
        return Err(format!("the column {} is of the type {kind} ({meaning}); use integers, floats, booleans or strings", column.name()));
    }
    let unsigned = matches!(meaning, ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64);
    Ok(Leaf { at, unsigned, optional: column.max_def_level() == 1 })
}

impl Each<Column> {
    /// Decodes the next rows; the inner error names the row of the batch that has no value.
    fn fill(&mut self, rows: usize) -> Result<Result<(), (usize, String)>, ParquetError> {
        let score = std::iter::once(Some((&mut self.score, "score")));
        let more = [
            (&mut self.label, "label"),
            (&mut self.weight, "weight"),
            (&mut self.id, "id"),
            (&mut self.group, "group"),
            (&mut self.slice, "slice"),
        ];
        let more = more.into_iter().map(|(column, what)| column.as_mut().map(|column| (column, what)));
        for (column, what) in score.chain(more).flatten() {
            if let Some(at) = column.fill(rows)? {
                return Ok(Err((at, format!("the {what} is null"))));
            }
        }
        Ok(Ok(()))
    }

    fn push(&self, at: usize, builder: &mut Builder, place: Place) -> Result<(), String> {
        let [id, group, slice] = [&self.id, &self.group, &self.slice].map(|column| column.as_ref().map(|column| column.text(at)));
        let row = Row {
            score: finite(self.score.number(at, "score")?)?,
            positive: self.label.as_ref().map_or(Ok(false), |label| label.label(at))?,
            weight: self.weight.as_ref().map(|weight| weight_of(weight.number(at, "weight")?)).transpose()?,
            id: id.as_ref().map(Text::bytes),
            group: group.as_ref().map(Text::bytes),
            slice: slice.as_ref().map(Text::bytes),
        };
        builder.push(row, place)
    }
}

/// A column of a row group, and the batch of it that was decoded last.
struct Column {
    leaf: Leaf,
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Bool(Batch<parquet::data_type::BoolType>),
    Int32(Batch<parquet::data_type::Int32Type>),
    Int64(Batch<parquet::data_type::Int64Type>),
    Float(Batch<parquet::data_type::FloatType>),
    Double(Batch<parquet::data_type::DoubleType>),
    Bytes(Batch<parquet::data_type::ByteArrayType>),
}

struct Batch<T: DataType> {
    reader: ColumnReaderImpl<T>,
    values: Vec<T::T>,
}

/// A cell as text, as CSV would have it.
enum Text<'a> {
    Borrowed(&'a ByteArray),
    Owned(String),
}

impl Text<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes.data(),
            Self::Owned(text) => text.as_bytes(),
        }
    }
}

impl<T: DataType> Batch<T> {
    const fn new(reader: ColumnReaderImpl<T>) -> Self {
        Self { reader, values: Vec::new() }
    }

    /// Decodes `rows` rows; the number of the first without a value, if there is one.
    fn fill(&mut self, rows: usize, levels: &mut Vec<i16>, optional: bool) -> Result<Option<usize>, ParquetError> {
        self.values.clear();
        levels.clear();
        let mut done = 0;
        while done < rows {
            let (read, _, _) = self.reader.read_records(rows - done, optional.then_some(&mut *levels), None, &mut self.values)?;
            if read == 0 {
                return Err(ParquetError::EOF(format!("a column ends {} rows before its row group", rows - done)));
            }
            done += read;
        }
        if self.values.len() == rows {
            return Ok(None);
        }
        let absent = levels.iter().position(|level| *level == 0);
        absent.map(Some).ok_or_else(|| ParquetError::General("a column has values that belong to no row".to_owned()))
    }
}

impl Column {
    fn new(reader: ColumnReader, leaf: Leaf) -> Result<Self, ParquetError> {
        let values = match reader {
            ColumnReader::BoolColumnReader(reader) => Values::Bool(Batch::new(reader)),
            ColumnReader::Int32ColumnReader(reader) => Values::Int32(Batch::new(reader)),
            ColumnReader::Int64ColumnReader(reader) => Values::Int64(Batch::new(reader)),
            ColumnReader::FloatColumnReader(reader) => Values::Float(Batch::new(reader)),
            ColumnReader::DoubleColumnReader(reader) => Values::Double(Batch::new(reader)),
            ColumnReader::ByteArrayColumnReader(reader) => Values::Bytes(Batch::new(reader)),
            _ => return Err(ParquetError::General("a row group's type is not the schema's".to_owned())),
        };
        Ok(Self { leaf, levels: Vec::new(), values })
    }

    fn fill(&mut self, rows: usize) -> Result<Option<usize>, ParquetError> {
        let (levels, optional) = (&mut self.levels, self.leaf.optional);
        match &mut self.values {
            Values::Bool(batch) => batch.fill(rows, levels, optional),
            Values::Int32(batch) => batch.fill(rows, levels, optional),
            Values::Int64(batch) => batch.fill(rows, levels, optional),
            Values::Float(batch) => batch.fill(rows, levels, optional),
            Values::Double(batch) => batch.fill(rows, levels, optional),
            Values::Bytes(batch) => batch.fill(rows, levels, optional),
        }
    }

    fn number(&self, at: usize, what: &str) -> Result<f64, String> {
        match &self.values {
            Values::Int32(batch) if self.leaf.unsigned => Ok(f64::from(batch.values[at].cast_unsigned())),
            Values::Int32(batch) => Ok(f64::from(batch.values[at])),
            Values::Int64(batch) if self.leaf.unsigned => Ok(batch.values[at].cast_unsigned() as f64),
            Values::Int64(batch) => Ok(batch.values[at] as f64),
            Values::Float(batch) => Ok(f64::from(batch.values[at])),
            Values::Double(batch) => Ok(batch.values[at]),
            Values::Bool(_) | Values::Bytes(_) => Err(format!("the {what} is not a number")),
        }
    }

    fn label(&self, at: usize) -> Result<bool, String> {
        match &self.values {
            Values::Bool(batch) => Ok(batch.values[at]),
            Values::Bytes(batch) => label(batch.values[at].data()),
            _ => label_of(self.number(at, "label")?),
        }
    }

    fn text(&self, at: usize) -> Text<'_> {
        Text::Owned(match &self.values {
            Values::Bytes(batch) => return Text::Borrowed(&batch.values[at]),
            Values::Bool(batch) => batch.values[at].to_string(),
            Values::Int32(batch) if self.leaf.unsigned => batch.values[at].cast_unsigned().to_string(),
            Values::Int32(batch) => batch.values[at].to_string(),
            Values::Int64(batch) if self.leaf.unsigned => batch.values[at].cast_unsigned().to_string(),
            Values::Int64(batch) => batch.values[at].to_string(),
            Values::Float(batch) => batch.values[at].to_string(),
            Values::Double(batch) => batch.values[at].to_string(),
        })
    }
}
