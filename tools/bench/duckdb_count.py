"""The peer of `bulk FILE ROWS keys=KEYS`: DuckDB counts as many rows into as many keys and writes
the result to a file. Both make their rows as they go, and run on two threads.

    python3 tools/bench/duckdb_count.py [ROWS] [KEYS] [FILE]
    cargo run --release --example bulk -- FILE ROWS keys=KEYS key=8 fixed=1 budget=2048 threads=2
"""
import os
import sys
import time

import duckdb

rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000_000
keys = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
path = sys.argv[3] if len(sys.argv) > 3 else "counts.duckdb"
if os.path.exists(path):
    os.remove(path)
db = duckdb.connect(path)
db.execute("SET threads = 2")
started = time.monotonic()
db.execute(
    f"CREATE TABLE counts AS SELECT hash(range) % {keys} AS key, count(*) AS rows "
    f"FROM range({rows}) GROUP BY key"
)
db.execute("CHECKPOINT")
seconds = time.monotonic() - started
count, total = db.execute("SELECT count(*), sum(rows) FROM counts").fetchone()
assert total == rows
print(f"duckdb {duckdb.__version__}: {rows} rows into {count} keys, in a file, in {seconds:.1f} s")
db.close()
os.remove(path)
