//! Parquet and Arrow inputs of `load`: every row is there, what cannot be a record is named, and no
//! damage is more than an error. Without the feature `parquet`: that it is said.

use crate::support::Place;

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_the_feature_says_so() {
    let place = Place::new();
    place.write("t.parquet", "PAR1");
    place.run(&["load", "a", "t.parquet"]).fails(2, "--features parquet");
    assert!(!place.path("a").exists());
}

#[cfg(feature = "parquet")]
mod with_the_feature {
    use std::fmt::Write as _;
    use std::sync::Arc;

    use arrow_array::types::Float32Type;
    use arrow_array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, DictionaryArray, FixedSizeListArray,
        Float32Array, Float64Array, Int8Array, Int32Array, ListArray, RecordBatch, StringArray,
        StructArray, TimestampMillisecondArray, UInt64Array,
    };
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
    use arrow_schema::{DataType, Field};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression, GzipLevel, ZstdLevel};
    use parquet::file::properties::WriterProperties;

    use super::Place;
    use crate::support::{Content, Random};

    const ROWS: u64 = 5_000;

    fn array(of: impl arrow_array::Array + 'static) -> ArrayRef {
        Arc::new(of)
    }

    /// Users: text, numbers of several kinds, a null now and then, words of a dictionary.
    fn users(from: u64, to: u64) -> RecordBatch {
        let names = (from..to).map(|n| format!("user\t{n}")).collect::<Vec<_>>();
        // In a file all batches share the words of a dictionary.
        let places = (from..to).map(|n| i8::try_from(n % 3)).collect::<Result<Vec<_>, _>>();
        let cities = array(StringArray::from(vec!["Rome", "Oslo", "Lima"]));
        let cities = DictionaryArray::new(Int8Array::from(places.unwrap()), cities);
        let age = |n: u64| i32::try_from(n % 90).unwrap();
        let nick = |n: u64| (!n.is_multiple_of(10)).then(|| format!("nick {n}"));
        RecordBatch::try_from_iter([
            ("age", array((from..to).map(|n| Some(age(n))).collect::<Int32Array>())),
            ("name", array(StringArray::from(names))),
            ("score", array((from..to).map(|n| Some(n as f64 / 8.0)).collect::<Float64Array>())),
            ("nick", array((from..to).map(nick).collect::<StringArray>())),
            ("city", array(cities)),
            ("admin", array((from..to).map(|n| Some(n % 7 == 0)).collect::<BooleanArray>())),
        ])
        .unwrap()
    }

    /// The same table in csv, without the columns of which csv has no kind.
    fn users_csv() -> String {
        let mut csv = "name,age,score,city,admin\n".to_owned();
        for n in 0..ROWS {
            let city = ["Rome", "Oslo", "Lima"][usize::try_from(n % 3).unwrap()];
            let score = n as f64 / 8.0;
            writeln!(csv, "user\t{n},{},{score:?},{city},{}", n % 90, n % 7 == 0).unwrap();
        }
        csv
    }

    /// Vectors of 16 floats, under a number.
    fn vectors(from: u64, to: u64) -> RecordBatch {
        let floats = (from * 16..to * 16).map(|n| n as f32).collect::<Float32Array>();
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let fixed = FixedSizeListArray::try_new(item, 16, array(floats), None).unwrap();
        let loose = (from..to).map(|n| Some((0..n % 5).map(move |i| Some((n + i) as f32))));
        RecordBatch::try_from_iter([
            ("id", array((from..to).map(Some).collect::<UInt64Array>())),
            ("vector", array(fixed)),
            ("loose", array(ListArray::from_iter_primitive::<Float32Type, _, _>(loose))),
        ])
        .unwrap()
    }

    fn floats(numbers: impl Iterator<Item = u64>) -> Vec<u8> {
        numbers.flat_map(|n| (n as f32).to_le_bytes()).collect()
    }

    /// A table in several batches.
    fn batches(of: fn(u64, u64) -> RecordBatch) -> Vec<RecordBatch> {
        [(0, 1), (1, 1), (1, 1_700), (1_700, ROWS)].map(|(from, to)| of(from, to)).to_vec()
    }

    fn parquet(batches: &[RecordBatch], compression: Compression) -> Vec<u8> {
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(1_000))
            .set_data_page_row_count_limit(300)
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batches[0].schema(), Some(properties)).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
        bytes
    }

    fn arrow_file(batches: &[RecordBatch], compression: Option<CompressionType>) -> Vec<u8> {
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let mut bytes = Vec::new();
        let schema = batches[0].schema();
        let mut writer = FileWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        drop(writer);
        bytes
    }

    fn arrow_stream(batches: &[RecordBatch]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &batches[0].schema()).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        drop(writer);
        bytes
    }

    /// The users in each format there is, by file name.
    fn all_formats(batches: &[RecordBatch]) -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("plain.parquet", parquet(batches, Compression::UNCOMPRESSED)),
            ("snappy.parquet", parquet(batches, Compression::SNAPPY)),
            ("zstd.parquet", parquet(batches, Compression::ZSTD(ZstdLevel::default()))),
            ("lz4.pq", parquet(batches, Compression::LZ4_RAW)),
            ("gzip.pq", parquet(batches, Compression::GZIP(GzipLevel::default()))),
            ("plain.arrow", arrow_file(batches, None)),
            ("lz4.feather", arrow_file(batches, Some(CompressionType::LZ4_FRAME))),
            ("zstd.arrow", arrow_file(batches, Some(CompressionType::ZSTD))),
            ("stream.arrows", arrow_stream(batches)),
        ]
    }

    #[test]
    fn a_table_gives_what_it_gives_in_csv_whichever_the_format() {
        let place = Place::new();
        place.write("t.csv", users_csv());
        place.ok(&["load", "csv", "t.csv", "--key", "name"]);
        let expected = place.content("csv");
        assert_eq!(expected.len() as u64, ROWS);
        let columns = ["--key", "name", "--value", "age,score,city,admin"];
        for (name, bytes) in all_formats(&batches(users)) {
            place.write(name, &bytes);
            for (index, how) in [("bulk", &["--bulk", "--replace"][..]), (name, &[])] {
                let index = &format!("{index}.sp");
                place.ok(&[&["load", index, name][..], &columns, how].concat());
                assert_eq!(place.content(index), expected, "{name} {how:?}");
            }
        }
        let exported = place.ok(&["export", "bulk.sp", "--format", "csv"]);
        assert!(exported.starts_with(b"name,age,score,city,admin\r\n"));
        let stream = arrow_stream(&batches(users));
        let piped = place.feed(
            &[&["load", "piped", "--format", "arrow", "--bulk"][..], &columns].concat(),
            &stream,
        );
        assert_eq!(piped.code, 0, "{piped:?}");
        assert_eq!(place.content("piped"), expected);
    }

    #[test]
    fn numbers_and_lists_are_stored_as_little_endian_bytes() {
        let place = Place::new();
        let expected = |value: fn(u64) -> Vec<u8>| -> Content {
            (0..ROWS).map(|n| (n.to_le_bytes().to_vec(), value(n))).collect()
        };
        let fixed = expected(|n| floats(n * 16..n * 16 + 16));
        let loose = expected(|n| floats((0..n % 5).map(|i| n + i)));
        let both = expected(|n| [floats(n * 16..n * 16 + 16), n.to_le_bytes().to_vec()].concat());
        for (name, bytes) in all_formats(&batches(vectors)) {
            place.write(name, &bytes);
            let load = |value| {
                let args = ["load", "a", name, "--bulk", "--replace", "--numbers", "raw"];
                place.ok(&[&args[..], &["--key", "id", "--value", value]].concat());
                place.content("a")
            };
            assert_eq!(load("vector"), fixed, "{name}");
            assert_eq!(load("loose"), loose, "{name}");
        }
        // Into a file of fixed sizes; and several columns one behind another.
        place.ok(&["create", "f", "--key-size", "8", "--value-size", "64"]);
        let args = ["load", "f", "plain.parquet", "--bulk", "--numbers", "raw", "--memory", "1"];
        place.ok(&[&args[..], &["--value", "vector"]].concat());
        assert_eq!(place.content("f"), fixed);
        place.ok(&["check", "f"]);
        let with_copy = batches(vectors).into_iter().map(|batch| {
            let column = |name| ArrayRef::clone(batch.column_by_name(name).unwrap());
            let columns = [("id", "id"), ("vector", "vector"), ("again", "id")];
            RecordBatch::try_from_iter(columns.map(|(name, of)| (name, column(of)))).unwrap()
        });
        place.write("two.parquet", parquet(&with_copy.collect::<Vec<_>>(), Compression::SNAPPY));
        place.ok(&["load", "p", "two.parquet", "--bulk", "--numbers", "raw"]);
        assert_eq!(place.content("p"), both);
        let header = place.ok(&["export", "p", "--format", "tsv"]);
        assert!(header.starts_with(b"id\tvector+again\n"));
    }

    #[test]
    fn dates_bytes_and_floats_have_a_text() {
        let place = Place::new();
        let batch = RecordBatch::try_from_iter([
            ("k", array(BinaryArray::from_vec(vec![b"\xff\0", b"b"]))),
            ("date", array(Date32Array::from(vec![19_844, -1]))),
            ("at", array(TimestampMillisecondArray::from(vec![1_714_566_600_250, 0]))),
            (
                "zone",
                array(TimestampMillisecondArray::from(vec![0, 1]).with_timezone("Europe/Rome")),
            ),
            ("f", array(Float32Array::from(vec![0.1, f32::INFINITY]))),
        ])
        .unwrap();
        place.write("t.parquet", parquet(&[batch], Compression::SNAPPY));
        place.ok(&["load", "a", "t.parquet", "--bulk"]);
        let content = place.content("a");
        let text = b"2024-05-01\t2024-05-01T12:30:00.250\t1970-01-01T00:00:00Z\t0.1";
        assert_eq!(content[&b"\xff\0"[..]], text);
        let text = b"1969-12-31\t1970-01-01T00:00:00\t1970-01-01T00:00:00.001Z\tinf";
        assert_eq!(content[&b"b"[..]], text);
    }

    #[test]
    fn a_null_is_an_error_that_names_file_row_and_column_unless_a_text_stands_for_it() {
        let place = Place::new();
        place.write("t.parquet", parquet(&batches(users), Compression::SNAPPY));
        let load = ["load", "a", "t.parquet", "--bulk", "--key", "name", "--value", "nick,age"];
        place.run(&load).fails(4, "t.parquet, row 1: column \"nick\" is null; --null TEXT");
        let json = place.run(&[&load[..], &["--skip-bad", "--json"]].concat()).json();
        assert_eq!((&json["loaded"], &json["bad"]), (&(ROWS * 9 / 10).into(), &(ROWS / 10).into()));
        place.ok(&[&load[..], &["--null", "-"]].concat());
        assert_eq!(place.ok(&["count", "a"]), format!("{ROWS}\n").into_bytes());
        assert_eq!(place.ok(&["get", "a", "user\t20"]), b"-\t20");
        assert_eq!(place.ok(&["get", "a", "user\t21"]), b"nick 21\t21");
        let by_nick = ["load", "b", "t.parquet", "--bulk", "--key", "nick", "--null", "-"];
        place.run(&by_nick).fails(4, "t.parquet, row 1: the key, column \"nick\", is null");
        let list = ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0), None])]);
        let batch = RecordBatch::try_from_iter([
            ("k", array(StringArray::from(vec!["a"]))),
            ("v", array(list)),
        ]);
        place.write("n.parquet", parquet(&[batch.unwrap()], Compression::SNAPPY));
        place
            .run(&["load", "c", "n.parquet", "--numbers", "raw"])
            .fails(4, "n.parquet, row 1: column \"v\": element 2 of the list is null");
    }

    #[test]
    fn what_cannot_be_is_said_and_the_old_file_stays() {
        let place = Place::new();
        place.write("old.tsv", "k\tv\na\tb\n");
        place.ok(&["load", "a", "old.tsv"]);
        let before = std::fs::read(place.path("a")).unwrap();
        let good = parquet(&batches(vectors), Compression::SNAPPY);
        place.write("good.parquet", &good);
        let arrow = arrow_file(&batches(vectors), None);
        place.write("good.arrow", &arrow);
        place.write("cut.parquet", &good[..good.len() - 100]);
        place.write("cut.arrow", &arrow[..arrow.len() - 100]);
        place.write("text.parquet", "id\tname\n1\tx and more of that\n");
        place.write("text.arrow", "id\tname\n1\tx and more of that\n");
        place.write("empty.parquet", "");
        place.write("empty.arrow", "");
        let inner = vec![(
            Arc::new(Field::new("x", DataType::Int32, false)),
            array(Int32Array::from(vec![1])),
        )];
        let batch = RecordBatch::try_from_iter([
            ("k", array(StringArray::from(vec!["a"]))),
            ("v", array(StructArray::from(inner))),
        ]);
        place.write("struct.parquet", parquet(&[batch.unwrap()], Compression::SNAPPY));
        let rows: [(&[&str], i32, &str); 17] = [
            (&["good.parquet", "--key", "no"], 4, "no column is named \"no\"; the header has id"),
            (&["good.parquet", "--value", "id"], 4, "column \"id\" is used twice"),
            (&["good.parquet", "--value", "vector,no"], 4, "no column is named \"no\""),
            (&["good.parquet"], 4, "column \"vector\" is FixedSizeList"),
            (&["good.parquet", "--numbers", "raw"], 4, "\"loose\" has values of any length"),
            (&["good.parquet", "--null", "x", "--numbers", "raw"], 2, "--null"),
            (&["old.tsv", "--numbers", "raw"], 2, "--numbers"),
            (&["struct.parquet"], 4, "struct.parquet: column \"v\" is Struct"),
            (&["cut.parquet"], 4, "cut.parquet: a Parquet file that is cut off"),
            (&["cut.arrow"], 4, "cut.arrow: an Arrow file that is cut off"),
            (&["text.parquet"], 4, "text.parquet: not a Parquet file"),
            (&["text.arrow"], 4, "text.arrow: not Arrow IPC"),
            (&["empty.parquet"], 4, "not a Parquet file"),
            (&["empty.arrow"], 4, "not Arrow IPC"),
            (&["good.arrow", "--format", "parquet"], 4, "good.arrow: not a Parquet file"),
            (&["good.parquet", "--format", "arrow"], 4, "good.parquet: not Arrow IPC"),
            (&["-", "--format", "parquet"], 4, "standard input: parquet is read from a file"),
        ];
        for (args, code, words) in rows {
            for how in [&["--bulk"][..], &["--bulk", "--replace"], &[]] {
                place.run(&[&["load", "a"][..], args, how].concat()).fails(code, words);
            }
        }
        let small = ["load", "a", "good.arrow", "--bulk", "--memory", "1", "--numbers", "raw"];
        let small = [&small[..], &["--value", "vector"]].concat();
        place.run(&small).fails(4, "give more memory");
        assert_eq!(std::fs::read(place.path("a")).unwrap(), before);
        place.run(&["export", "a", "x.parquet"]).fails(4, "can be loaded, not written");
    }

    /// Null by its key, null in the dictionary, and numbers as text and as bytes.
    #[test]
    fn a_dictionary_has_nulls_in_two_places() {
        let place = Place::new();
        let keys = Int8Array::from(vec![Some(2), None, Some(1), Some(0)]);
        let words = array(StringArray::from(vec![Some("a"), None, Some("c")]));
        let numbers = array(Int32Array::from(vec![Some(-1), None, Some(7)]));
        let batch = RecordBatch::try_from_iter([
            ("id", array(StringArray::from(vec!["0", "1", "2", "3"]))),
            ("word", array(DictionaryArray::new(keys.clone(), words))),
            ("number", array(DictionaryArray::new(keys, numbers))),
        ]);
        place.write("t.arrow", arrow_file(&[batch.unwrap()], None));
        place.ok(&["load", "a", "t.arrow", "--null", "-"]);
        let rows = ["c\t7", "-\t-", "-\t-", "a\t-1"];
        let rows = rows.iter().enumerate();
        let expected = rows.map(|(n, row)| (n.to_string().into_bytes(), row.as_bytes().to_vec()));
        assert_eq!(place.content("a"), expected.collect::<Content>());
        let raw = ["load", "b", "t.arrow", "--value", "number", "--numbers", "raw", "--skip-bad"];
        place.run(&raw);
        let expected = [(0, 7_i32), (3, -1)];
        let expected =
            expected.map(|(n, number)| (n.to_string().into_bytes(), number.to_le_bytes().to_vec()));
        assert_eq!(place.content("b"), Content::from(expected));
    }

    #[cfg(unix)]
    #[test]
    fn a_named_pipe_is_read_and_not_standard_input() {
        let place = Place::new();
        let pipe = place.path("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let stream = arrow_stream(&batches(users));
        // Opening waits for a reader, which is there as soon as the tool opens it.
        let feeder = std::thread::spawn(move || drop(std::fs::write(pipe, stream)));
        let columns = ["--format", "arrow", "--key", "name", "--value", "age"];
        place.ok(&[&["load", "a", "pipe"][..], &columns].concat());
        feeder.join().unwrap();
        assert_eq!(place.ok(&["count", "a"]), format!("{ROWS}\n").into_bytes());
    }

    /// Runs with so little address space that a batch whose texts are written out does not fit. The
    /// row without a key ends the load long before all of them are in the index.
    #[cfg(target_os = "linux")]
    fn stays_small(place: &Place, name: &str) {
        let tool = env!("CARGO_BIN_EXE_splitpoint");
        let index = format!("{name}.sp");
        let script = "ulimit -v 1048576; exec \"$0\" \"$@\"";
        let mut command = std::process::Command::new("sh");
        command.current_dir(place.path("")).args(["-c", script, tool, "load", &index, name]);
        let ran = command.args(["--bulk", "--memory", "64"]).output().unwrap();
        crate::support::Ran::from(ran).fails(4, "row 11: the key, column \"id\", is null");
    }

    /// Rows that share one long text; the eleventh has no key.
    #[cfg(target_os = "linux")]
    fn one_long_text(rows: usize, len: usize) -> RecordBatch {
        let ids = (0..rows).map(|n| (n != 10).then_some(n as u64)).collect::<UInt64Array>();
        let text = array(StringArray::from(vec!["x".repeat(len)]));
        let texts = DictionaryArray::new(Int8Array::from(vec![0; rows]), text);
        RecordBatch::try_from_iter([("id", array(ids)), ("text", array(texts))]).unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_dictionary_in_arrow_is_not_written_out() {
        let place = Place::new();
        place.write("t.arrow", arrow_file(&[one_long_text(150_000, 10_000)], None));
        stays_small(&place, "t.arrow");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_dictionary_in_parquet_makes_small_batches_with_and_without_statistics() {
        use parquet::arrow::arrow_writer::ArrowWriterOptions;
        use parquet::file::properties::EnabledStatistics;

        let place = Place::new();
        let batch = one_long_text(9_000, 200_000);
        for (name, statistics) in [
            ("with.parquet", EnabledStatistics::Page),
            ("without.parquet", EnabledStatistics::None),
        ] {
            let properties = WriterProperties::builder().set_statistics_enabled(statistics).build();
            // Without the schema of Arrow it is a column of text to the reader.
            let options = ArrowWriterOptions::new().with_properties(properties);
            let options = options.with_skip_arrow_metadata(true);
            let mut bytes = Vec::new();
            let mut writer =
                ArrowWriter::try_new_with_options(&mut bytes, batch.schema(), options).unwrap();
            writer.write(&batch).unwrap();
            let metadata = writer.close().unwrap();
            let size = metadata.row_group(0).column(1).unencoded_byte_array_data_bytes();
            assert_eq!(size.is_some(), name == "with.parquet");
            assert!(bytes.len() < 1 << 20);
            place.write(name, &bytes);
            stays_small(&place, name);
        }
    }

    /// Cut off anywhere, or with bytes changed: an error or a table, never a panic, and of an error
    /// the old file sees nothing.
    #[test]
    fn damage_is_an_error_and_no_more() {
        let mut random = Random(1);
        let place = Place::new();
        place.write("old.tsv", "k\tv\na\tb\n");
        place.ok(&["load", "a", "old.tsv"]);
        let before = std::fs::read(place.path("a")).unwrap();
        let small = [users(0, 300), users(300, 450)];
        let formats = all_formats(&small);
        let (mut failed, mut loaded) = (0, 0);
        for round in 0..SPOILED {
            let (name, bytes) = &formats[round % formats.len()];
            let mut bytes = bytes.clone();
            let len = bytes.len() as u64;
            if round % 2 == 0 {
                bytes.truncate(usize::try_from(random.below(len)).unwrap());
            } else {
                for _ in 0..1 + random.below(4) {
                    // Most in the footer and the heads of messages and pages.
                    let at = if random.below(2) == 0 {
                        random.below(len)
                    } else {
                        len - 1 - random.below(len.min(2_000))
                    };
                    let byte = &mut bytes[usize::try_from(at).unwrap()];
                    *byte = [0, 0xff, 0x7f, *byte ^ 1, *byte ^ 0x80]
                        [usize::try_from(random.below(5)).unwrap()];
                }
            }
            place.write(name, &bytes);
            place.write("a", &before);
            let columns = ["--key", "name", "--value", "age,score,nick,city,admin", "--null", "-"];
            let ran =
                place.run(&[&["load", "a", name, "--bulk", "--replace"][..], &columns].concat());
            assert!(!ran.err.contains("panicked"), "round {round}, {name}: {ran:?}");
            if ran.code == 0 {
                loaded += 1;
                continue;
            }
            failed += 1;
            ran.fails(4, name);
            assert_eq!(std::fs::read(place.path("a")).unwrap(), before, "round {round}, {name}");
            assert!(!place.path("a.splitpoint-new").exists());
        }
        println!("of {SPOILED} damaged inputs {failed} failed, {loaded} were loaded");
        assert!(failed > SPOILED / 2);
    }

    const SPOILED: usize = 360;
}
