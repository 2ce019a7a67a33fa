#!/usr/bin/env python3
"""Branch coverage of src/page, src/log and src/pager from `cargo llvm-cov --json`.

Left out are tests, and the switches of src/mutant.rs, which are constants in what users build. A branch
counts once, however many copies of a generic function there are; each of its two ways counts.

usage: coverage.py FILE.json [uncovered]
"""

import collections
import json
import re
import sys

LAYERS = re.compile(r"/src/((?:page|log|pager)/.*)$")


def tests_begin(lines):
    """The line where a file's own tests begin."""
    for number, line in enumerate(lines, 1):
        after = lines[number] if number < len(lines) else ""
        if line.strip() == "#[cfg(test)]" and re.match(r"\s*mod \w+ \{", after):
            return number
    return len(lines) + 1


def branches(data):
    """Every branch of every copy of every function, as (file, place, true, false)."""
    for export in data["data"]:
        for function in export["functions"]:
            for branch in function.get("branches", []):
                line, column, line_end, column_end, true, false, file_id = branch[:7]
                path = function["filenames"][file_id]
                yield path, (line, column, line_end, column_end), true, false


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        data = json.load(file)
    ways = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0]))
    for path, place, true, false in branches(data):
        name = LAYERS.search(path)
        if name and "/tests/" not in path and not path.endswith("/tests.rs"):
            counts = ways[path][place]
            counts[0] += true
            counts[1] += false
    total = taken_total = 0
    groups = collections.defaultdict(lambda: [0, 0])
    print("| file | ways | taken | |\n|---|---|---|---|")
    missing = []
    for path in sorted(ways):
        name = LAYERS.search(path).group(1)
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        end = tests_begin(lines)
        all_ways = taken = 0
        for (line, column, line_end, column_end), counts in sorted(ways[path].items()):
            text = lines[line - 1]
            if line >= end or "mutant(Mutant::" in text:
                continue
            all_ways += 2
            taken += sum(count > 0 for count in counts)
            words = text[column - 1 : column_end - 1] if line == line_end else text[column - 1 :]
            for count, way in zip(counts, ("true", "false")):
                if count == 0:
                    missing.append(f"{name}:{line}: never {way}: {words}")
        if all_ways:
            print(f"| {name} | {all_ways} | {taken} | {100 * taken / all_ways:.1f} % |")
        total += all_ways
        taken_total += taken
        group = groups[name.split("/")[0]]
        group[0] += all_ways
        group[1] += taken
    for name, (all_ways, taken) in sorted(groups.items()):
        print(f"| **{name}** | {all_ways} | {taken} | {100 * taken / all_ways:.1f} % |")
    print(f"| **all** | {total} | {taken_total} | {100 * taken_total / total:.1f} % |")
    if len(sys.argv) > 2:
        print("\n" + "\n".join(missing))


main()
