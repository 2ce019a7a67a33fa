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
  1  the answer is no: a key is absent, the check found damage, the files differ
  2  the arguments are wrong
  3  a file cannot be opened: not there, no permission, locked, not a splitpoint file
  4  the work failed on the way, or was interrupted

Messages go to standard error and begin with `splitpoint:`; answers go to standard output.
Verbs that print facts take --json. Reading verbs write nothing, not even after a crash. Verbs
that have --wait SECONDS wait so long for a file that another process has open. Output that nobody
reads to its end (`| head`) is no failure.

`splitpoint help VERB` shows an example of each verb, `splitpoint help formats` the formats.";

/// For `create`.
pub(crate) const CREATE: &str = "\
Example: an index with 8-byte keys and values of any size
  splitpoint create users.sp --key-size 8

`load` makes a missing index by itself; `create` is for choosing these numbers.";

/// For `load`.
pub(crate) const LOAD: &str = "\
Example: a table whose column `name` is the key
  splitpoint load packages.sp packages.tsv --key name
Example: from a pipe
  zcat events.jsonl.gz | splitpoint load events.sp --format jsonl --skip-bad
Example: a daily rebuild, all at once
  splitpoint load features.sp day/*.csv --bulk --replace --memory 4096
Example: vectors by user, as the bytes of their floats (a build with --features parquet)
  splitpoint load vectors.sp day/*.parquet --bulk --key user --value vector --numbers raw

See `splitpoint help formats` for the formats, `splitpoint load --help` for what is durable when.";

/// For `load`, long.
pub(crate) const LOAD_LONG: &str = "\
Examples:
  splitpoint load packages.sp packages.tsv --key name
  zcat events.jsonl.gz | splitpoint load events.sp --format jsonl --skip-bad
  splitpoint load vectors.sp day/*.parquet --bulk --key user --value vector --numbers raw

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
Others may read it meanwhile. With --replace what it holds is left out. Inputs are read several at
once, one for each thread, with the outcome of one after another.

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
  splitpoint stat users.sp --json | jq .record_count

Reads the whole file, sound or damaged, open in another process or not, without a lock. The bytes
by kind of page add up to the file's length. Beside each histogram stands what chance would give:
records fall into buckets as a Poisson distribution has it. Changes that are only in the log are
not counted. The last line is advice. The exit code is 1 if the file is damaged.";

/// For `check`.
pub(crate) const CHECK: &str = "\
Example:
  splitpoint check users.sp && echo sound
  splitpoint check users.sp --quick

Reads the whole file: every checksum, every page reachable once or free, every record in the bucket
of its key, the log behind it. Findings are printed one a line, each with its severity, its place,
the promise that is broken and the next step; the exit code is then 1. Nothing is written or locked:
of a file that another process writes, the last checkpoint is checked, again if that moved on. With
--quick only the structure: meta pages, bitmap, directories, log.";

/// For `dump`.
pub(crate) const DUMP: &str = "\
Example:
  splitpoint dump users.sp meta
  splitpoint dump users.sp page 12 --hex
  splitpoint dump users.sp log
  splitpoint dump users.sp key alice

Prints fields under the names of FORMAT.md, as far as they can be read, and then the promises that
are broken, if any; the exit code is then 1. With --hex the bytes of each page as well, with a strip
that shows its layout: H header, c cells, r k v records, x dead, w words. Nothing is written or
locked.";

/// For `explain`.
pub(crate) const EXPLAIN: &str = "\
Example:
  splitpoint explain users.sp alice
  splitpoint explain users.sp --hex-key 00ff --json

Every step that a lookup takes: the hash, the layout that the splitpoint selects, the bucket, its
entry in the directory, the cells searched and the keys compared, the overflow filter and chain, the
result, and how many pages and cache lines that touched. The exit code is 1 if it is not found.";

/// For `metrics`.
pub(crate) const METRICS: &str = "\
Example: for the text collector of Prometheus' node exporter
  splitpoint metrics users.sp --format prometheus > /var/lib/node_exporter/users.prom

Reads the whole file, as `stat` does, with the same numbers.";

/// For `salvage`.
pub(crate) const SALVAGE: &str = "\
Example: what is left of a damaged file, as JSON, and only what is certain
  splitpoint salvage users.sp users-new.sp
  splitpoint salvage users.sp certain.sp --no-older --json

Reads every page that proves itself, and the log; writes a new, sound file; lists what is lost, page
by page, and about how many records. Where a page is lost, an older one that the file still has is
taken: its records may be out of date, or removed since, and are counted. The damaged file is only
read. The exit code is 0 once the new file is there, whatever is lost.";

/// For `report`.
pub(crate) const REPORT: &str = "\
Example:
  splitpoint report users.sp -o users.html

One page with pictures, without scripts, that needs no network: how full buckets are, how long
chains, a map of the file by what its pages are for, space by use, the splitpoint, the log. The file
may be damaged, or open in another process: then pages may seem lost that were only replaced.";

/// For `backup`.
pub(crate) const BACKUP: &str = "\
Example: while a server writes the file
  splitpoint backup users.sp users-monday.sp

The copy is the file at one moment: the last checkpoint and what the log had when it was read. It is
checked before it gets its name. If the writer is faster than the copying 16 times, it says so, and
nothing is written; let the process that has the file open call Index::backup then.";

/// For `diff`.
pub(crate) const DIFF: &str = "\
Example: what has changed since Monday
  splitpoint diff users-monday.sp users.sp
  splitpoint diff users-monday.sp users.sp --json | jq -r 'select(.difference == \"added\").key'

Lines are + KEY for one that only the second file has, - KEY for one that only the first has, ~ KEY
for one with another value, and then the counts. Copies (`backup`, `cp`) are read side by side,
once; of files that were made apart every key is looked up. The exit code is 0 if they are equal,
1 if not.";

/// For `corrupt`.
pub(crate) const CORRUPT: &str = "\
Example: turn a bit in a copy, and look for it
  splitpoint corrupt users.sp --kind bitflip --seed 7 --yes
  splitpoint check users.sp.bitflip-7

Kinds: bitflip turns a bit; zero makes a page zeros; stale gives a page older contents; swap puts
two pages in each other's place; truncate cuts the end off; torn-log spoils a sector of the log, of
a file that was not closed. The file itself is never written to, and the copy must not exist. Damage
may hit a page that is free: then there is nothing to be found.";

/// For `completions`.
pub(crate) const COMPLETIONS: &str = "\
Example: for bash, for this user
  splitpoint completions bash > ~/.local/share/bash-completion/completions/splitpoint";

/// For `man`.
pub(crate) const MAN: &str = "\
Example: read it, and install that of a verb
  splitpoint man | man -l -
  splitpoint man load > ~/.local/share/man/man1/splitpoint-load.1";

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

parquet, arrow
       Apache Parquet files and Arrow IPC files or streams, in a build with --features parquet;
       `load` only. Text and bytes are taken as they are. Numbers become text, as the same table has
       it in csv (1.5, true, 2024-05-01, 2024-05-01T12:30:00, with Z in a column with a time zone).
       With --numbers raw they are stored as their little-endian bytes, in the key too, and lists of
       numbers as the bytes of their elements. A null is no record, unless it is in a value column
       and --null TEXT says what stands for it.

Columns. Without --key the first column is the key; --value COLUMN,COLUMN,… chooses the others
and their order, without it all are taken. Of these, a single one is the value as it is. Several
make one value: each escaped as in tsv (\t \n \r \\ only), with a tab between them; so `get`
prints such a value as the rest of its line in tsv. None at all is an empty value. The names are
kept in the index's metadata as
  {"columns":{"key":"name","values":["version","depends"]}}
and `export` to tsv or csv gives the columns back, the key's first. A value that is not such a row
(one that was put by hand, say) is an error there; jsonl and pairs take values as they stand. An
index without such metadata is exported with the columns `key` and `value`. With --numbers raw
several columns stand one behind another, without tabs, and each must have a fixed size: the value
can be cast to a struct. To export that is one column, named a+b.

Names. The format is told from the file's name: .tsv .tab, .csv, .jsonl .ndjson, .pairs,
.parquet .pq, .arrow .arrows .feather."#;

/// Prints [`FORMATS`].
pub(crate) fn print_formats() -> Outcome {
    let mut output = Output::new();
    output.line(FORMATS)?;
    output.finish(Answer::Yes)
}
