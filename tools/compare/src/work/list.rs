//! The list of works: name, suite, unit and what is measured. The table has its rows in this
//! order. Less is better in every row.

pub struct Work {
    pub name: &'static str,
    pub suite: &'static str,
    pub unit: &'static str,
    pub text: &'static str,
}

/// Each runs in a process of its own for each store and round.
pub const SUITES: &[(&str, &str)] = &[
    ("table", "N records of 16 + 100 bytes: load, cold, limited, opens, lookups, changes, deletes"),
    ("small", "N / 2 records of 8 + 8 bytes, sizes fixed"),
    ("wide", "N / 2 records of 24 + 150 bytes"),
    ("features", "N / 2 records of 16 + 40 bytes: requests of 1,000 keys"),
    ("stall", "N / 4 single inserts of 16 + 100 bytes into an empty table, or 5 s of them"),
    ("embed", "N / 20 records of 16 + 3,072 bytes"),
];

const fn work(
    suite: &'static str,
    name: &'static str,
    unit: &'static str,
    text: &'static str,
) -> Work {
    Work { name, suite, unit, text }
}

pub const WORKS: &[Work] = &[
    work(
        "table",
        "load",
        "ns",
        "load in random order, batches of 1,000, durability in the background, until synced; a record",
    ),
    work(
        "table",
        "load-closed",
        "ns",
        "the same until background work has settled and the store is closed",
    ),
    work("table", "disk", "bytes", "allocated on disk after load and close; a record of 116 bytes"),
    work("table", "cold-hit", "ns", "lookup of a key that is there, nothing in memory"),
    work("table", "cold-hit-bytes", "bytes", "read from the device for it"),
    work("table", "cold-miss", "ns", "lookup of a key that is not there, nothing in memory"),
    work("table", "cold-miss-bytes", "bytes", "read from the device for it"),
    work("table", "cold-many-100", "ns", "get_many of 100 keys, nothing in memory; a key"),
    work("table", "cold-many-bytes", "bytes", "read from the device for it; a key"),
    work("table", "limited-hit", "ns", "lookup with memory limited to a quarter of the file"),
    work("table", "limited-hit-bytes", "bytes", "read from the device for it"),
    work("table", "limited-miss", "ns", "lookup of a key that is not there, likewise"),
    work("table", "limited-miss-bytes", "bytes", "read from the device for it"),
    work(
        "table",
        "limited-update",
        "ns",
        "random update, batches of 100 in the background, likewise",
    ),
    work(
        "table",
        "limited-update-bytes",
        "bytes",
        "written to the device for it, a byte of key and value given",
    ),
    work(
        "table",
        "open-clean",
        "ms",
        "open after a clean close, with its first lookup, file in memory",
    ),
    work(
        "table",
        "open-killed",
        "ms",
        "open after SIGKILL with N / 20 inserts since the last open, with its first lookup",
    ),
    work("table", "hits-1", "ns", "random hits, 1 thread"),
    work("table", "misses-1", "ns", "random misses, 1 thread"),
    work("table", "hits-2", "ns", "random hits, 2 threads; wall time a lookup"),
    work("table", "misses-2", "ns", "random misses, 2 threads; wall time a lookup"),
    work("table", "many-100", "ns", "get_many of 100 keys that are there; a key"),
    work("table", "many-1000", "ns", "get_many of 1,000 keys that are there; a key"),
    work("table", "durable-batch", "us", "durable batch of 1,000 inserts; a batch"),
    work("table", "durable-1", "us", "durable single insert, 1 thread"),
    work("table", "durable-8", "us", "durable single insert, 8 threads; wall time an insert"),
    work("table", "beside-alone", "ns", "random hits, 1 thread, store opened for durable writes"),
    work(
        "table",
        "beside-reader",
        "ns",
        "the same beside a writer that commits 100 updates again and again",
    ),
    work("table", "beside-writer", "us", "the writer's commit meanwhile"),
    work(
        "table",
        "ycsb-b",
        "ns",
        "YCSB B (95 % reads, 5 % updates, zipfian 0.99), 2 threads, in the background; wall time an operation",
    ),
    work("table", "ycsb-a", "ns", "YCSB A (50 % reads, 50 % updates), likewise"),
    work(
        "table",
        "update",
        "ns",
        "random update of 100 bytes, batches of 100 in the background, until closed; a record",
    ),
    work(
        "table",
        "update-bytes",
        "bytes",
        "written to the device for it, a byte of key and value given",
    ),
    work("table", "disk-updated", "bytes", "allocated on disk afterwards; a record"),
    work(
        "table",
        "delete",
        "ns",
        "delete all in random order, batches of 1,000 in the background, until synced; a record",
    ),
    work("table", "disk-deleted", "bytes", "allocated on disk after it; a record there was"),
    work("small", "small-load", "ns", "load as above"),
    work("small", "small-disk", "bytes", "allocated on disk; a record of 16 bytes"),
    work("small", "small-hits-1", "ns", "random hits, 1 thread"),
    work("small", "small-misses-1", "ns", "random misses, 1 thread"),
    work("small", "small-many-100", "ns", "get_many of 100; a key"),
    work("wide", "wide-load", "ns", "load as above"),
    work("wide", "wide-disk", "bytes", "allocated on disk; a record of 174 bytes"),
    work("wide", "wide-hits-1", "ns", "random hits, 1 thread"),
    work("wide", "wide-misses-1", "ns", "random misses, 1 thread"),
    work("wide", "wide-many-100", "ns", "get_many of 100; a key"),
    work("features", "features-p50", "us", "request of 1,000 random keys, all there: median"),
    work("features", "features-p99", "us", "99th percentile"),
    work("features", "features-p999", "us", "99.9th percentile"),
    work("stall", "stall-mean", "ns", "single insert in the background, mean"),
    work("stall", "stall-p50", "us", "median"),
    work("stall", "stall-p99", "us", "99th percentile"),
    work("stall", "stall-p999", "us", "99.9th percentile"),
    work("stall", "stall-max", "us", "the longest"),
    work(
        "embed",
        "embed-load",
        "ns",
        "load in random order, batches of 100 in the background, until synced; a record",
    ),
    work("embed", "embed-disk", "bytes", "allocated on disk; a byte of key and value"),
    work("embed", "embed-hit", "ns", "random hit, all 3,072 bytes read"),
    work("embed", "embed-many", "ns", "1,000 random values into a matrix, batched; a value"),
    work("embed", "embed-cold-hit", "ns", "random hit, nothing in memory"),
    work("embed", "embed-cold-bytes", "bytes", "read from the device for it"),
    work(
        "embed",
        "embed-overwrite",
        "ns",
        "the table's size in random overwrites, batches of 100 in the background, until closed; a record",
    ),
    work(
        "embed",
        "embed-write-bytes",
        "bytes",
        "written to the device for it, a byte of key and value given",
    ),
    work(
        "embed",
        "embed-disk-updated",
        "bytes",
        "allocated on disk afterwards; a byte of key and value",
    ),
];

pub fn find(name: &str) -> Option<&'static Work> {
    WORKS.iter().find(|work| work.name == name)
}
