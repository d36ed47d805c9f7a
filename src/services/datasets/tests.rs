//! What is read, and what is refused.

use std::{fs, path::PathBuf, sync::Arc};

use ::parquet::{
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use proptest::prelude::*;

use super::*;

/// A folder with files; it goes when the test ends.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn everything() -> Columns {
    Columns {
        weight: Some("weight".into()),
        group: Some("group".into()),
        slice: Some("slice".into()),
        ids: KeepIds::Need,
        ..Columns::default()
    }
}

fn read_one(file: PathBuf, columns: &Columns) -> Result<(Labelled, SourceFacts), DatasetError> {
    read(&[file], columns, &mut |_| {})
}

/// The error's text without the folder's name.
fn refusal(name: &str, content: impl AsRef<[u8]>, columns: &Columns) -> String {
    let folder = Folder::new();
    let error = read_one(folder.file(name, content), columns).unwrap_err().to_string();
    error.replace(&format!("{}/", folder.0.path().display()), "")
}

#[test]
fn csv_as_spreadsheets_write_it() {
    let folder = Folder::new();
    let text = "\u{feff}slice,id, score ,\"label\",group,weight,note\r\n\
                \"en, UK\",a,0.25,TRUE,g1,2,\"two\r\nlines\"\r\n\
                \r\n\
                de,\"b\"\"c\",1e-3,0,g2,0.5,\r\n\
                \"en, UK\",a,.5,0.0,g1,1,x";
    let (data, facts) = read_one(folder.file("a.CSV", text), &everything()).unwrap();
    assert_eq!((data.scores, data.positive), (vec![0.25, 0.001, 0.5], vec![true, false, false]));
    assert_eq!(data.weights.unwrap(), [2.0, 0.5, 1.0]);
    let (groups, slices, ids) = (data.groups.unwrap(), data.slices.unwrap(), data.ids.unwrap());
    assert_eq!((groups.codes, groups.count), (vec![0, 1, 0], 2));
    assert_eq!((slices.codes, slices.names), (vec![0, 1, 0], vec!["en, UK".to_owned(), "de".to_owned()]));
    assert_eq!((0..ids.len()).map(|row| ids.get(row)).collect::<Vec<_>>(), ["a", "b\"c", "a"]);
    assert_eq!((facts.rows, facts.positives, facts.files, facts.duplicate_ids), (3, 1, 1, 1));
    let (_, place) = facts.first_duplicate.unwrap();
    assert_eq!(place, Place::Line(6), "lines are the file's, not rows");
}

#[test]
fn files_follow_each_other_and_are_digested_together() {
    let folder = Folder::new();
    let first = folder.file("1.csv", "id,score,label,weight,group\na,1,1,2,x\n");
    let second = folder.file("2.jsonl", "{\"id\":\"a\",\"score\":0.5,\"label\":false,\"nested\":{\"id\":[1]}}\n");
    let files = [first.clone(), second];
    let mut seen = Vec::new();
    let (data, facts) = read(&files, &Columns::default(), &mut |done| seen.push(done)).unwrap();
    assert_eq!((data.scores, data.positive), (vec![1.0, 0.5], vec![true, false]));
    assert_eq!(facts.first_duplicate, Some((files[1].clone(), Place::Line(1))));
    assert_eq!(facts.unused, ["weight", "group"], "columns that should perhaps have been used are named");
    assert_eq!(seen.last().copied(), Some(size(&files)));
    let bytes = [fs::read(&files[0]).unwrap(), fs::read(&files[1]).unwrap()].concat();
    assert_eq!(facts.sha256, hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes)));
    let (_, alone) =
        read_one(first, &Columns { group: Some("group".into()), weight: Some("weight".into()), ..Columns::default() }).unwrap();
    assert!(alone.unused.is_empty() && alone.sha256 != facts.sha256);
}

#[test]
fn csv_with_something_wrong_is_refused_by_line() {
    let (plain, all) = (Columns::default(), everything());
    let header = "id,score,label,weight,group,slice\n";
    for (content, columns, expected) in [
        ("score,label\n0.5,1\nnan,0\n", &plain, "x.csv, line 3: the score is NaN; scores must be finite numbers"),
        ("score,label\n0.5,1\n1e999,0\n", &plain, "x.csv, line 3: the score is inf; scores must be finite numbers"),
        ("score,label\n,1\n", &plain, "x.csv, line 2: the score is empty, which is not a number"),
        ("score,label\n0.5,2\n", &plain, "x.csv, line 2: the label is \"2\"; labels are 0, 1, true or false"),
        ("score,label\n\n0.5,\n", &plain, "x.csv, line 3: the label is empty; labels are 0, 1, true or false"),
        ("score,label\n0.5,1,3\n", &plain, "x.csv, line 2: has 3 fields where the first line has 2"),
        ("score,label\n0.5,1\n0.5\n", &plain, "x.csv, line 3: has 1 fields where the first line has 2"),
        ("", &plain, "x.csv: is empty; its first line must name the columns, such as id,score,label"),
        ("\n\n", &plain, "x.csv: is empty; its first line must name the columns, such as id,score,label"),
        ("score,label\n", &plain, "x.csv: holds no rows"),
        ("score,truth\n0.5,1\n", &plain, "x.csv: there is no column label; the first line names score, truth"),
        ("score,score,label\n1,1,1\n", &plain, "x.csv: two columns are called score"),
        ("score,label\n1,1\n", &all, "x.csv: there is no column id; the first line names score, label"),
        (&format!("{header}a,1,1,-1,g,s\n"), &all, "x.csv, line 2: the weight is -1; weights must be finite and not negative"),
        (&format!("{header}a,1,1,inf,g,s\n"), &all, "x.csv, line 2: the weight is inf; weights must be finite and not negative"),
        (
            &format!("{header}a,1,1,1,{},s\n", "g".repeat(1025)),
            &all,
            &format!("x.csv, line 2: the group \"{}\"… is longer than 1024 bytes", "g".repeat(40)),
        ),
    ] {
        assert_eq!(refusal("x.csv", content, columns), expected);
    }
    let slices: String = (0..=65_535).map(|slice| format!("a,1,1,1,g,{slice}\n")).collect();
    assert_eq!(refusal("x.csv", header.to_owned() + &slices, &all), "x.csv, line 65537: more than 65535 slices; is it the right column?");
    let not_text = [header.as_bytes(), b"\xff,1,1,1,g,s\n"].concat();
    assert!(refusal("x.csv", not_text, &all).ends_with("line 2: the id \"\" is not UTF-8 text"));
}

#[test]
fn a_quotation_mark_left_open_does_not_fill_the_memory() {
    let open = "score,label\n0.5,\"1\n".to_owned() + &"0.5,1\n".repeat(400_000);
    assert_eq!(refusal("x.csv", open, &Columns::default()), "x.csv: a record is longer than 1048576 bytes; is a quotation mark left open?");
    let long = format!("{{\"score\":0.5,\"label\":1}}\n{{\"note\":\"{}\"}}\n", "x".repeat(1 << 20));
    assert_eq!(refusal("x.jsonl", long, &Columns::default()), "x.jsonl, line 2: is longer than 1048576 bytes");
}

#[test]
fn json_with_something_wrong_is_refused_by_line() {
    let (plain, all) = (Columns::default(), everything());
    for (content, columns, expected) in [
        ("{\"score\":0.5,\"label\":1}\n\n{\"score\":0.5}\n", &plain, "line 3: there is no key label"),
        ("{\"score\":NaN,\"label\":1}\n", &plain, "line 1: expected value"),
        ("{\"score\":1e999,\"label\":1}\n", &plain, "line 1: number out of range"),
        ("{\"score\":\"0.5\",\"label\":1}\n", &plain, "line 1: the score must be a number"),
        ("{\"score\":null,\"label\":1}\n", &plain, "line 1: the score must be a number"),
        ("{\"score\":[1],\"label\":1}\n", &plain, "line 1: invalid type: sequence, expected a number, a text, true or false"),
        ("{\"score\":1,\"label\":2}\n", &plain, "line 1: the label is 2; labels are"),
        ("{\"score\":1,\"label\":\"no\"}\n", &plain, "line 1: the label is \"no\"; labels are"),
        ("{\"score\":1,\"score\":1,\"label\":1}\n", &plain, "line 1: the key score stands there twice"),
        ("[0.5,1]\n", &plain, "line 1: invalid type: sequence, expected an object"),
        ("{\"score\":1,\"label\":1} {}\n", &plain, "line 1: trailing characters"),
        ("{\"score\":1,\"label\":1}\n", &all, "line 1: there is no key id"),
        ("{\"score\":1,\"label\":1,\"id\":null}\n", &all, "line 1: the id is null"),
        ("{\"score\":1,\"label\":1,\"id\":1,\"weight\":-1,\"group\":1,\"slice\":1}\n", &all, "line 1: the weight is -1"),
        ("", &plain, "x.jsonl: holds no rows"),
        (&"[".repeat(100_000), &plain, "line 1: "),
    ] {
        let found = refusal("x.jsonl", content, columns);
        assert!(found.contains(expected), "{content}: {found}");
    }
    let text = "\u{feff}{\"label\":\"True\",\"score\":1,\"id\":7,\"group\":-3,\"slice\":true,\"weight\":2}\r\n";
    let folder = Folder::new();
    let (data, _) = read_one(folder.file("a.ndjson", text), &everything()).unwrap();
    assert_eq!((data.slices.unwrap().names, data.ids.unwrap().get(0)), (vec!["true".to_owned()], "7"));
}

#[test]
fn other_files_are_refused_by_name() {
    assert_eq!(
        refusal("x.txt", "score,label\n1,1\n", &Columns::default()),
        "x.txt: its ending tells no format; name it .csv, .jsonl or .parquet"
    );
    assert!(
        refusal("x.parquet", "score,label\n1,1\n", &Columns::default()).starts_with("x.parquet: is not a Parquet file that can be read")
    );
    let folder = Folder::new();
    assert!(matches!(read_one(folder.0.path().join("absent.csv"), &Columns::default()), Err(DatasetError::Io { .. })));
    assert!(matches!(read(&[], &Columns::default(), &mut |_| {}), Err(DatasetError::NoFiles)));
    fs::create_dir(folder.0.path().join("folder.csv")).unwrap();
    assert!(matches!(read_one(folder.0.path().join("folder.csv"), &Columns::default()), Err(DatasetError::Io { .. })));
}

/// A Parquet file with the given columns, in row groups of at most `rows`.
struct Written<'a> {
    schema: &'a str,
    rows: usize,
    columns: Vec<Cells>,
}

#[derive(Clone)]
enum Cells {
    Bool(Vec<bool>),
    Long(Vec<i64>),
    Double(Vec<Option<f64>>),
    Text(Vec<String>),
}

impl Written<'_> {
    fn bytes(&self) -> Vec<u8> {
        let schema = Arc::new(parse_message_type(&format!("message rows {{ {} }}", self.schema)).unwrap());
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::builder().build())).unwrap();
        let all = self.columns.iter().map(Cells::len).max().unwrap();
        for start in (0..all).step_by(self.rows) {
            let mut group = file.next_row_group().unwrap();
            for cells in &self.columns {
                let end = cells.len().min(start + self.rows);
                match cells {
                    Cells::Bool(values) => write::<BoolType>(&mut group, &values[start..end], None),
                    Cells::Long(values) => write::<Int64Type>(&mut group, &values[start..end], None),
                    Cells::Double(values) => {
                        let levels: Vec<i16> = values[start..end].iter().map(|value| i16::from(value.is_some())).collect();
                        let values: Vec<f64> = values[start..end].iter().flatten().copied().collect();
                        write::<DoubleType>(&mut group, &values, Some(&levels));
                    }
                    Cells::Text(values) => {
                        let values: Vec<ByteArray> = values[start..end].iter().map(|text| text.as_str().into()).collect();
                        write::<ByteArrayType>(&mut group, &values, None);
                    }
                }
            }
            group.close().unwrap();
        }
        file.into_inner().unwrap()
    }
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Bool(values) => values.len(),
            Self::Long(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }
}

fn write<T: DataType>(group: &mut ::parquet::file::writer::SerializedRowGroupWriter<'_, Vec<u8>>, values: &[T::T], levels: Option<&[i16]>) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, levels, None).unwrap();
    column.close().unwrap();
}

const SCHEMA: &str = "required binary id (UTF8); optional double score; required boolean label; optional double weight; \
                      required int64 group; required binary slice (UTF8);";

/// Rows and pages that are all alike are packed to almost nothing: 262 kB took 690 MB.
#[test]
fn parquet_that_is_much_more_than_its_bytes_is_refused_before_it_is_read() {
    let schema = "optional double score; required int64 label;";
    let rows = (1 << 20) + 1;
    let alike = Written { schema, rows, columns: vec![Cells::Double(vec![Some(0.5); rows]), Cells::Long(vec![1; rows])] }.bytes();
    assert!(alike.len() < 1 << 16, "{}", alike.len());
    let said = refusal("x.parquet", alike, &Columns::default());
    assert!(said.contains("states 1048577 rows"), "{said}");

    let properties = WriterProperties::builder()
        .set_compression(::parquet::basic::Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(1 << 30)
        .set_statistics_enabled(::parquet::file::properties::EnabledStatistics::None);
    let schema =
        Arc::new(parse_message_type("message rows { required double score; required int64 label; required binary id (UTF8); }").unwrap());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
    let mut group = file.next_row_group().unwrap();
    let texts = vec![ByteArray::from(vec![b'a'; 1 << 20]); 65];
    write::<DoubleType>(&mut group, &[0.5; 65], None);
    write::<Int64Type>(&mut group, &[1; 65], None);
    write::<ByteArrayType>(&mut group, &texts, None);
    group.close().unwrap();
    let said = refusal("x.parquet", file.into_inner().unwrap(), &Columns::default());
    assert!(said.contains("unpack to") && said.contains("smaller pages"), "{said}");
}

#[test]
fn parquet_with_something_wrong_is_refused_by_row() {
    let columns = |scores: Vec<Option<f64>>, labels: Vec<i64>| vec![Cells::Double(scores), Cells::Long(labels)];
    let schema = "optional double score; required int64 label;";
    let file = |columns| Written { schema, rows: 2, columns }.bytes();
    let plain = Columns::default();
    let good = file(columns(vec![Some(0.5), Some(1.0), Some(0.25)], vec![1, 0, 1]));
    let folder = Folder::new();
    let (data, _) = read_one(folder.file("good.parquet", &good), &plain).unwrap();
    assert_eq!((data.scores, data.positive), (vec![0.5, 1.0, 0.25], vec![true, false, true]));

    let null = file(columns(vec![Some(0.5), Some(1.0), None], vec![1, 0, 1]));
    assert_eq!(refusal("x.parquet", null, &plain), "x.parquet, row 3: the score is null");
    let nan = file(columns(vec![Some(0.5), Some(f64::NAN), Some(0.0)], vec![1, 0, 1]));
    assert_eq!(refusal("x.parquet", nan, &plain), "x.parquet, row 2: the score is NaN; scores must be finite numbers");
    let two = file(columns(vec![Some(0.5)], vec![2]));
    assert_eq!(refusal("x.parquet", two, &plain), "x.parquet, row 1: the label is 2; labels are 0, 1, true or false");
    assert_eq!(refusal("x.parquet", &good, &everything()), "x.parquet: there is no column id; there are score, label");
    let none = Written { schema, rows: 1, columns: columns(Vec::new(), Vec::new()) }.bytes();
    assert_eq!(refusal("x.parquet", none, &plain), "x.parquet: holds no rows");
    let texts = Written {
        schema: "required binary score (UTF8); required int64 label;",
        rows: 1,
        columns: vec![Cells::Text(vec!["1".into()]), Cells::Long(vec![1])],
    };
    assert_eq!(refusal("x.parquet", texts.bytes(), &plain), "x.parquet, row 1: the score is not a number");

    // A damaged file is an error or, where the damage is in values, other numbers; never a panic that ends the program without a word.
    let mut refused = 0;
    for at in 0..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 0xff;
        refused += usize::from(read_one(folder.file("damaged.parquet", damaged), &plain).is_err());
        let cut = read_one(folder.file("cut.parquet", &good[..at]), &plain);
        assert!(cut.is_err(), "cut at {at}");
    }
    assert!(refused > good.len() / 2, "{refused} of {}", good.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// What one program writes, in whatever format, is read as the same data.
    #[test]
    fn the_three_formats_say_the_same(
        rows in prop::collection::vec((any::<f64>().prop_filter("finite", |score| score.is_finite()), any::<bool>(), 0.0..1e9f64, 0..5i64, "[a-z\",\r\n é]{0,20}", "[ab]"), 1..50),
        group_rows in 1..20usize,
    ) {
        let (mut csv, mut json) = (csv_text("id,score,label,weight,group,slice\n"), String::new());
        for (score, label, weight, group, id, slice) in &rows {
            csv.write_record([id, &format!("{score:?}"), &label.to_string(), &weight.to_string(), &group.to_string(), slice]).unwrap();
            let line = serde_json::json!({"slice": slice, "id": id, "score": score, "label": u8::from(*label), "weight": weight, "group": group});
            json += &format!("{line}\n");
        }
        let columns = vec![
            Cells::Text(rows.iter().map(|row| row.4.clone()).collect()),
            Cells::Double(rows.iter().map(|row| Some(row.0)).collect()),
            Cells::Bool(rows.iter().map(|row| row.1).collect()),
            Cells::Double(rows.iter().map(|row| Some(row.2)).collect()),
            Cells::Long(rows.iter().map(|row| row.3).collect()),
            Cells::Text(rows.iter().map(|row| row.5.clone()).collect()),
        ];
        let folder = Folder::new();
        let read = |name: &str, content: &[u8]| {
            let (data, facts) = read_one(folder.file(name, content), &everything()).unwrap();
            (data, facts.rows, facts.positives, facts.duplicate_ids)
        };
        let csv = read("a.csv", &csv.into_inner().unwrap());
        prop_assert_eq!(&csv, &read("a.jsonl", json.as_bytes()));
        prop_assert_eq!(&csv, &read("a.parquet", &Written { schema: SCHEMA, rows: group_rows, columns }.bytes()));
        let expected: Vec<f64> = rows.iter().map(|row| row.0).collect();
        prop_assert_eq!(&csv.0.scores, &expected);
    }
}

fn csv_text(header: &str) -> ::csv::Writer<Vec<u8>> {
    ::csv::WriterBuilder::new().from_writer(header.as_bytes().to_vec())
}
