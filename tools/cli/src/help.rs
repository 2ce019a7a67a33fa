//! The words of `--help`: an example for each verb, the exit codes, the formats.

use crate::failure::{Answer, Outcome};
use crate::output::Output;

/// The end of the short help.
pub(crate) const TOP_SHORT: &str = "\
`splitpoint help VERB` shows an example of each verb, `splitpoint help formats` the formats,
`splitpoint --help` the exit codes. Start with `splitpoint demo`.";

/// The end of the long help.
pub(crate) const TOP: &str = "\
A first walk:
  splitpoint load users.sp users.tsv        make an index from a table
  splitpoint get users.sp alice             one value
  splitpoint put users.sp bob 'likes maps'  set one
  splitpoint scan users.sp --limit 3        a few records
  splitpoint export users.sp copy.tsv       all records, as text
  splitpoint check users.sp                 is every byte sound?

Exit codes:
  0  fine
  1  the answer is no: a key is absent, the check found damage
  2  the arguments are wrong
  3  a file cannot be opened: not there, no permission, locked, not a splitpoint file
  4  the work failed on the way, or was interrupted

Messages go to standard error and begin with `splitpoint:`; answers go to standard output.
Verbs that print facts take --json. Reading verbs write nothing, not even after a crash. A file
that another process has open is waited for with --wait SECONDS. Output that nobody reads to its
end (`| head`) is no failure.

`splitpoint help VERB` shows an example of each verb, `splitpoint help formats` the formats.";

/// For `create`.
pub(crate) const CREATE: &str = "\
Example: an index for about a million users, with 8-byte keys and values of any size
  splitpoint create users.sp --key-size 8 --expected-len 1000000

`load` makes a missing index by itself; `create` is for choosing these numbers.";

/// For `load`.
pub(crate) const LOAD: &str = "\
Example: a table whose column `name` is the key
  splitpoint load packages.sp packages.tsv --key name
Example: from a pipe
  zcat events.jsonl.gz | splitpoint load events.sp --format jsonl --skip-bad
Example: a daily rebuild, all at once
  splitpoint load features.sp day/*.csv --bulk --replace --memory 4096

See `splitpoint help formats` for the formats, `splitpoint load --help` for what is durable when.";

/// For `load`, long.
pub(crate) const LOAD_LONG: &str = "\
Examples:
  splitpoint load packages.sp packages.tsv --key name
  zcat events.jsonl.gz | splitpoint load events.sp --format jsonl --skip-bad

Later records replace earlier ones of the same key, in the input and in the index. Each batch is
one commit: after a crash it is in as a whole or not at all. While loading, commits are made
durable in the background, about once a second; when `load` ends, with or without an error, all it
reports is durable. A pipe that falls silent leaves the batch that it has begun waiting for more.

The first line that is not a record stops the load: what comes before it is in, nothing after it.
With --skip-bad such lines are listed (the first 20), counted and passed over. Ctrl-C finishes the
batch, makes it durable and says how many records are in; a second one ends the process at once.

With --bulk a new file is built from what is in the index and all inputs, in their order, in large
blocks: many times faster, if the input is not small beside the index. It takes the index's place
when it is whole and durable; until then, after an error, a crash or Ctrl-C, the index is as it was.
Others may read it meanwhile. With --replace what it holds is left out.

The names of the columns are kept in the index's metadata (1 KiB), for `export` to give them back.
See `splitpoint help formats`.";

/// For `compact`.
pub(crate) const COMPACT: &str = "\
Example: before the file is copied to where it is only read
  splitpoint compact users.sp
Example: with room for inserts
  splitpoint compact users.sp --fill 70

The records go to a new file, which takes the old one's place when it is whole and durable: until
then, and if anything fails, the old one is as it was. It takes room for both on the disk. The index
can be read meanwhile, not written to.";

/// For `get`.
pub(crate) const GET: &str = "\
Example: one value, exactly its bytes
  splitpoint get users.sp alice > alice.bin
Example: many, as lines of key TAB value, escaped as in TSV
  splitpoint get users.sp alice bob
  cut -f1 wanted.tsv | splitpoint get users.sp -

One key prints its value and nothing else (and a line end on a terminal). Absent keys are named on
standard error, and the exit code is 1.";

/// For `put`.
pub(crate) const PUT: &str = "\
Example: text, and any bytes
  splitpoint put users.sp alice 'likes maps'
  splitpoint put users.sp alice - < alice.bin
  splitpoint put users.sp --hex-key 00ff --hex cafe

The value is durable when the command returns. The index must exist (`splitpoint create`).
A key or value that begins with a dash goes after `--`: splitpoint put users.sp -- -k v";

/// For `del`.
pub(crate) const DEL: &str = "\
Example:
  splitpoint del users.sp alice bob

The exit code is 1 if one of the keys was absent; the others are removed all the same.";

/// For `count`.
pub(crate) const COUNT: &str = "\
Example:
  n=$(splitpoint count users.sp)";

/// For `scan`.
pub(crate) const SCAN: &str = "\
Example: a thousand records, then the next thousand
  splitpoint scan users.sp --limit 1000
  splitpoint scan users.sp --limit 1000 --from CURSOR   (as the first one printed on standard error)

Lines are key TAB value, escaped as in TSV, control characters and what is not UTF-8 as \\xHH. With
--json, keys and values that are not UTF-8 are in key_hex and value_hex.";

/// For `export`.
pub(crate) const EXPORT: &str = "\
Example: a copy in text, and back
  splitpoint export users.sp users.tsv
  splitpoint load copy.sp users.tsv
Example: any bytes in CSV
  splitpoint export users.sp --format csv --encoding base64 | gzip > users.csv.gz

The key column comes first, whichever it was in the table that was loaded. tsv and pairs take any
bytes; csv and jsonl are text, and take --encoding hex or base64 for what is not.";

/// For `stat`.
pub(crate) const STAT: &str = "\
Example:
  splitpoint stat users.sp
  splitpoint stat users.sp --json | jq .record_count";

/// For `check`.
pub(crate) const CHECK: &str = "\
Example:
  splitpoint check users.sp && echo sound

Reads the whole file: every checksum, every page reachable once or free, every record in the bucket
of its key. Findings are printed one a line, each with its place and the promise that is broken; the
exit code is then 1. Nothing is written.";

/// For `dump`.
pub(crate) const DUMP: &str = "\
Example:
  splitpoint dump users.sp meta
  splitpoint dump users.sp page 12
  splitpoint dump users.sp key alice

Prints the fields of a page under the names of FORMAT.md, as far as they can be read, and then the
promise that is broken, if one is; the exit code is then 1. Nothing is written or locked.";

/// For `demo`.
pub(crate) const DEMO: &str = "\
Example: all of it, and a smaller one that leaves its file to look at
  splitpoint demo
  splitpoint demo --users 100000 --keep

In a temporary folder: loads users with 20 float features each, serves them in batches of 100 keys
and checks each value, counts clicks from two threads, kills a writing child process with SIGKILL,
opens the file again and shows that every commit that the child had been told was durable is there.
Exit code 4 if anything is lost.";

/// The formats, for `splitpoint help formats`.
pub(crate) const FORMATS: &str = r#"The formats of `load` and `export`. `export | load` gives the same keys and values, byte for
byte; so does `load | export | load`.

tsv    A header with the columns' names, then a line a record, with a tab between columns.
         name<TAB>version<TAB>depends
         zlib1g<TAB>1.3.1<TAB>libc6 (>= 2.14)
       Within a field, \t \n \r and \\ stand for tab, line feed, carriage return and backslash, and
       \xHH for any byte. All other bytes stand for themselves, UTF-8 or not. Lines may end in \r\n.

csv    RFC 4180: a header, commas; fields with commas, quotes or line ends stand in quotes, and a
       quote within them is doubled.
         name,version,depends
         zlib1g,1.3.1,"libc6 (>= 2.14), base"
       Lines may end in \n. With --encoding hex or base64 every field is so written, the header not.

jsonl  JSON lines: an object a line, two strings. Blank lines are passed over.
         {"key":"zlib1g","value":"1.3.1"}
       --encoding hex or base64 for bytes that are not UTF-8.

pairs  Binary, without a header: key length and value length, 4 bytes each, little-endian, then the
       bytes of the key, then those of the value; again and again.
         06 00 00 00  05 00 00 00  "zlib1g"  "1.3.1"

Columns. Without --key the first column is the key. Of the others, a single one is the value as it
is. Several make one value: each escaped as in tsv (\t \n \r \\ only), with a tab between them;
so `get` prints such a value as the rest of its line in tsv. None at all is an empty value. The
names are kept in the index's metadata as
  {"columns":{"key":"name","values":["version","depends"]}}
and `export` to tsv or csv gives the columns back, the key's first. A value that is not such a row
(one that was put by hand, say) is an error there; jsonl and pairs take values as they stand. An
index without such metadata is exported with the columns `key` and `value`.

Names. The format is told from the file's name: .tsv .tab, .csv, .jsonl .ndjson, .pairs."#;

/// Prints [`FORMATS`].
pub(crate) fn print_formats() -> Outcome {
    let mut output = Output::new();
    output.line(FORMATS)?;
    output.finish(Answer::Yes)
}
