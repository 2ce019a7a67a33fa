#!/usr/bin/env python3
"""Runs the mutants of cargo-mutants on src/log, src/pager and src/page against the tests, all woven into
one build. README.md has the commands.

usage: run.py build                weaves and builds, below target/mutants; leaves out what does not compile
       run.py base [STAGE ...]     runs the tests without a mutant: how long they take, what they reach;
                                   `try` runs only those stages; `unit:WORD` is the unit tests with that word
       run.py try [-s SECONDS] [WORD ...]   mutants whose names contain a WORD, in this order, until SECONDS are over
       run.py table                what came of them, by file
       run.py missed               the names of those that no test noticed
"""

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "mutants"
TREE = WORK / "tree"
# A copy, so that the sources may be worked on meanwhile.
SOURCE = WORK / "source"
FILES = ["src/log/**/*.rs", "src/pager/**/*.rs", "src/page/**/*.rs"]
TARGETS = ["model", "errors", "crash", "hostile", "regressions", "values", "overflow", "look", "corpus", "bulk"]
TARGETS += ["verify", "residence", "threads", "copies", "space"]
# `try` brings every mutant through the quick unit tests that reach it before any comes to the others.
UNIT = ("unit", [], {})
SLOW_UNIT = ("slow unit", [], {})
# The second word of a stage is the rows of its program that it runs.
CAMPAIGNS = [
    ("model", [], {"SPLITPOINT_OPERATIONS": "2000"}),
    ("regressions", [], {}),
    ("values", [], {}),
    ("overflow", [], {}),
    ("verify", [], {}),
    ("space", [], {}),
    ("residence", [], {}),
    ("errors", [], {"SPLITPOINT_STATES": "2000"}),
    ("crash", [], {"SPLITPOINT_STATES": "1500", "SPLITPOINT_FIRST": "1"}),
    ("hostile values", ["values: "], {}),
    ("hostile meta", ["meta"], {}),
    ("hostile logs", ["log"], {}),
    ("hostile pages", ["pages: "], {}),
    ("hostile arguments", ["arguments"], {}),
    ("hostile fork", ["fork"], {}),
    SLOW_UNIT,
    ("corpus", [], {}),
    ("look", [], {}),
    ("threads", [], {}),
    ("copies", [], {}),
    ("hostile", [], {}),
    ("bulk", [], {}),
]
# To note what these reach takes too long: each mutant is taken for reached.
REACHES_ALL = ("hostile", "look", "threads", "copies", "verify", "residence", "space")
# Seconds of a unit test, with what it reaches noted: one that takes longer is left out.
UNIT_LIMIT = 15
VOLUME = {"SPLITPOINT_DAMAGES": "2", "SPLITPOINT_FUZZ": "3", "SPLITPOINT_RECORDS": "20000"}


def cargo(*arguments, **options):
    environment = dict(
        os.environ,
        # Woven code is not pretty.
        RUSTFLAGS="--cap-lints=allow",
        CARGO_TARGET_DIR=str(WORK / "target"),
        CARGO_PROFILE_TEST_DEBUG="0",
        # Built once, run thousands of times; assertions and checks of overflow stay on.
        CARGO_PROFILE_TEST_OPT_LEVEL="2",
    )
    return subprocess.run(["cargo", *arguments], cwd=TREE, env=environment, text=True, **options)


def programs():
    return json.loads((WORK / "programs.json").read_text(encoding="utf-8"))


def mutants():
    return json.loads((WORK / "list.json").read_text(encoding="utf-8"))


def weave(skipped):
    (WORK / "skipped").write_text(" ".join(map(str, sorted(skipped))), encoding="utf-8")
    manifest = ROOT / "tools/mutants/Cargo.toml"
    command = ["cargo", "run", "-q", "--release", "--manifest-path", manifest, "--target-dir", WORK / "weave", "--"]
    command += [WORK / "list.json", SOURCE, TREE, WORK / "skipped"]
    woven = subprocess.run(command, check=True, capture_output=True, text=True)
    (WORK / "woven").write_text(woven.stdout, encoding="utf-8")


def numbers_near(error, span):
    """The mutants that a compiler's complaint is about."""
    path = TREE / span["file_name"]
    if not span["is_primary"] or not path.exists():
        return set()
    lines = path.read_text(encoding="utf-8").split("\n")
    first, last = span["line_start"] - 1, min(span["line_end"] - 1, span["line_start"] + 6)
    text = "\n".join(lines[first : last + 1])
    if (error.get("code") or {}).get("code") == "E0004":
        # A match that lacks an arm: it stands below.
        text = "\n".join(line for line in lines[last : last + 30] if " if !crate::switch" in line)
    found = set(re.findall(r"/\*M(\d+)\*/", text)) or set(re.findall(r"/\*S(\d+)\*/", text))
    for line in reversed(lines[max(0, first - 12) : first]):
        found = found or set(re.findall(r"/\*[MS](\d+)\*/", line))
    return {int(number) for number in found}


def complaints(arguments):
    checked = cargo("check", "-q", "--message-format=json", "-p", "splitpoint", "--lib", *arguments, capture_output=True)
    messages = [json.loads(line).get("message") or {} for line in checked.stdout.splitlines() if line[:1] == "{"]
    return [message for message in messages if message.get("level") == "error"]


def build():
    for copy in (SOURCE, TREE):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("target", ".git"))
    listing = ["cargo", "mutants", "--list", "--json", "-e", "src/**/tests/**", "-e", "src/**/tests.rs"]
    listing += [word for glob in FILES for word in ("-f", glob)]
    text = subprocess.run(listing, cwd=SOURCE, check=True, capture_output=True, text=True).stdout
    (WORK / "list.json").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "tools/mutants/switch.rs", TREE / "src/switch.rs")
    with open(TREE / "src/lib.rs", "a", encoding="utf-8") as lib:
        lib.write("mod switch;\n")
    left_out = WORK / "left-out"
    known = set(left_out.read_text(encoding="utf-8").splitlines()) if left_out.exists() else set()
    names = {number: mutant["name"] for number, mutant in enumerate(mutants(), 1)}
    # Of another type than the iterator that the rest of the function gives; and those of the last build.
    skipped = {number for number, name in names.items() if "-> impl Iterator" in name or name in known}
    while True:
        weave(skipped)
        errors = complaints([]) or complaints(["--all-features", "--profile", "test"])
        near = set().union(*(numbers_near(error, span) for error in errors for span in error["spans"]))
        print(f"{len(errors)} complaints of the compiler, {len(near)} mutants left out", flush=True)
        if not errors:
            break
        if near <= skipped:
            sys.exit("\n".join(error["rendered"] for error in errors[:3]))
        skipped |= near
        left_out.write_text("\n".join(names[number] for number in sorted(skipped)), encoding="utf-8")
    targets = [word for name in TARGETS for word in ("--test", name)]
    built = cargo("test", "--no-run", "--message-format=json", "-p", "splitpoint", "--lib", *targets, stdout=subprocess.PIPE)
    found = {}
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["profile"]["test"]:
            found[message["target"]["name"]] = message["executable"]
    (WORK / "programs.json").write_text(json.dumps(found), encoding="utf-8")


def processor_seconds(process):
    """What a process has used of the processors: unlike the clock, no other work changes it."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(stage, environment, limit):
    """Seconds of the processors that it took, and how it ended: `None` if all passes. The first word of a
    failure ends it, and so does a minute without any work."""
    name, arguments, volume = stage
    program = programs()["splitpoint" if name.endswith("unit") else name.split()[0]]
    process = subprocess.Popen(
        [program, *arguments],
        cwd=TREE,
        env=dict(os.environ, **VOLUME, **volume, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )
    ends, used, over = [], [0.0], threading.Event()

    def watch():
        idle = 0
        while not over.wait(0.25):
            now = processor_seconds(process)
            idle = idle + 1 if now == used[0] else 0
            used[0] = max(used[0], now)
            if used[0] > limit or idle > 240:
                ends.append("timeout")
                process.kill()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    for line in process.stdout:
        if "FAILED" in line:
            ends.append("caught")
            process.kill()
            break
    process.stdout.close()
    code = process.wait()
    over.set()
    watcher.join()
    return used[0], ends[0] if ends else "caught" if code else None


def base(names):
    for stage in [UNIT, *(stage for stage in CAMPAIGNS if stage != SLOW_UNIT)]:
        words = [word for name, _, word in (name.partition(":") for name in names) if name == stage[0]]
        if names and not words:
            continue
        if stage[0] == "unit":
            listed = subprocess.run([programs()["splitpoint"], "--list"], check=True, capture_output=True, text=True)
            tests = re.findall(r"^(\S+): test$", listed.stdout, re.M)
            near = ("log::", "page::", "pager::")
            tests = [test for test in tests if not words or any(word in test for word in words)]
            for test in sorted(tests, key=lambda test: (not test.startswith(near), test)):
                base_of(("unit", ["--exact", test], {}), test.replace("::", "."), UNIT_LIMIT)
        else:
            base_of(stage, stage[0], 900)


def base_of(stage, name, limit):
    """Notes what a stage, or a unit test, reaches and how long it takes."""
    folder = WORK / "base" / stage[0]
    folder.mkdir(parents=True, exist_ok=True)
    reached = folder / f"{name}.reached"
    reached.write_text("", encoding="utf-8")
    if stage[0].startswith(REACHES_ALL):
        seconds, end = 0, None
        shutil.copy(WORK / "woven", reached)
    else:
        seconds, end = run(stage, {"MUTANT_REACHED": str(reached)}, limit)
    if end and stage[0] == "unit":
        print(f"{name} is left out: {end}", flush=True)
        return
    if end is None and stage[0] != "unit":
        # Once more, since to note what is reached takes time that `try` does not need.
        seconds, end = run(stage, {}, limit)
    if end:
        sys.exit(f"{name} fails without a mutant")
    numbers = {int(number) for number in reached.read_text(encoding="utf-8").split()}
    print(f"{name}: {seconds:.1f} s, reaches {len(numbers)} mutants", flush=True)
    found = {"arguments": stage[1], "seconds": seconds, "reached": sorted(numbers)}
    (folder / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    reached.unlink()


def outcomes():
    """Of each mutant the last that was found. `passed`: the quick unit tests, and not tried further."""
    path = WORK / "outcomes"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {int(line.split()[0]): line.split()[1] for line in lines}


def attempt(number, stages, bases):
    for name, arguments, volume in stages:
        reaching = [base for base in bases.get(name, []) if number in base["reached"]]
        reaching.sort(key=lambda base: base["seconds"])
        # The quick unit tests all at once.
        groups = [reaching] * bool(reaching) if name == "unit" else [[base] for base in reaching]
        for group in groups:
            words = [word for base in group for word in base["arguments"][1:]]
            words = ["--exact", *words] if name.endswith("unit") else arguments
            limit = 4 * sum(base["seconds"] for base in group) + 5
            _, end = run((name, words, volume), {"MUTANT_ON": str(number)}, limit)
            if end:
                return f"{end}:{name}"
    return None


def load_bases():
    bases = collections.defaultdict(list)
    for path in (WORK / "base").glob("*/*.json"):
        base = json.loads(path.read_text(encoding="utf-8"))
        is_slow = path.parent.name == "unit" and base["seconds"] >= 3
        bases["slow unit" if is_slow else path.parent.name].append(base | {"reached": set(base["reached"])})
    return bases


def try_all(budget, words):
    bases = load_bases()
    everything = set().union(*(base["reached"] for base in sum(bases.values(), [])))
    woven = set(map(int, (WORK / "woven").read_text(encoding="utf-8").split()))
    names = {number: mutant["name"] for number, mutant in enumerate(mutants(), 1)}
    rank = {number: next((i for i, word in enumerate(words) if word in names[number]), None) for number in woven}
    chosen = sorted((number for number in woven if not words or rank[number] is not None), key=lambda n: (rank[n] or 0, n))
    started = time.time()
    for stages, before, otherwise in [([UNIT], None, "passed"), (CAMPAIGNS, "passed", "missed")]:
        for number in chosen if any(stage[0] in bases for stage in stages) else []:
            if outcomes().get(number) != before or time.time() - started > budget:
                continue
            end = attempt(number, stages, bases) or otherwise
            if end == "missed" and number not in everything:
                end = "unreached"
            with open(WORK / "outcomes", "a", encoding="utf-8") as out:
                out.write(f"{number} {end} {names[number]}\n")


def table():
    woven = set(map(int, (WORK / "woven").read_text(encoding="utf-8").split()))
    rows, done = collections.defaultdict(collections.Counter), outcomes()
    for number, mutant in enumerate(mutants(), 1):
        kind = done.get(number, "not tried" if number in woven else "not woven").split(":")[0]
        for name in (mutant["file"].removeprefix("src/"), "**all**"):
            rows[name][kind] += 1
            rows[name]["mutants"] += 1
    columns = ["mutants", "caught", "timeout", "missed", "unreached", "passed", "not tried", "not woven"]
    print("| file | " + " | ".join(columns) + " |\n" + "|---" * (1 + len(columns)) + "|")
    for name in sorted(rows, key=lambda name: (name == "**all**", name)):
        print(f"| {name} | " + " | ".join(str(rows[name][column]) for column in columns) + " |")


def missed():
    names = {number: mutant["name"] for number, mutant in enumerate(mutants(), 1)}
    for number, outcome in sorted(outcomes().items()):
        if outcome in ("passed", "missed", "unreached"):
            print(f"{number} {outcome}: {names[number]}")


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    match sys.argv[1:]:
        case ["build"]:
            build()
        case ["base", *names]:
            base(names)
        case ["try", "-s", seconds, *words]:
            try_all(float(seconds), words)
        case ["try", *words]:
            try_all(float("inf"), words)
        case ["table"]:
            table()
        case ["missed"]:
            missed()
        case _:
            sys.exit(__doc__)


main()
