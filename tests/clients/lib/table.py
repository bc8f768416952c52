"""Tables of what was run: beside each client's tests, in a file that people read, how each ends here and why.

A line is `passed NAME` or `not applicable NAME: WHY`. A test that ends otherwise than its line says, that has no line, or a line
whose test was not seen, is a difference. FLOE_CLIENTS_WRITE=1 writes the table anew and keeps what it said why.
"""

import os

PASSED, OTHER = "passed", "not applicable"
WRITE = "FLOE_CLIENTS_WRITE"


def read(path):
    """Names of tests with why they are not applicable, or nothing where they pass; comments are left out."""
    wanted = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(map(str.rstrip, file), 1):
            if line.startswith(f"{PASSED} "):
                wanted[line.removeprefix(f"{PASSED} ")] = None
            elif line.startswith(f"{OTHER} "):
                name, _, why = line.removeprefix(f"{OTHER} ").partition(": ")
                if not why:
                    raise ValueError(f"{path}:{number}: say why: {line}")
                wanted[name] = why
            elif line and not line.startswith("#"):
                raise ValueError(f"{path}:{number}: neither `{PASSED} NAME` nor `{OTHER} NAME: WHY`: {line}")
    return wanted


def head(path):
    """The comments that a table begins with."""
    with open(path, encoding="utf-8") as file:
        return [line for line in file if line.startswith("#")]


def write(path, found, wanted):
    """Writes what was found as the table."""
    lines = head(path)
    for name, failure in found.items():
        lines.append(f"{PASSED} {name}\n" if failure is None else f"{OTHER} {name}: {wanted.get(name) or 'TODO ' + failure}\n")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(lines)


def compare(path, found):
    """Rows (passed, name, why not) and differences of `found`: names of tests with how they failed, or nothing."""
    wanted = read(path)
    rows, differences = [], []
    for name, failure in found.items():
        rows.append((failure is None, name, wanted.get(name) or failure or ""))
        if name not in wanted:
            differences.append(f"{path}: has no line for {name}, which {failure or 'passed'}")
        elif failure is None and wanted[name] is not None:
            differences.append(f"{path}: {name} passes now, and the table says {wanted[name]}")
        elif failure is not None and wanted[name] is None:
            differences.append(f"{path}: {name} did not pass: {failure}")
    differences += [f"{path}: {name} was not run" for name in wanted if name not in found]
    if differences and os.environ.get(WRITE):
        write(path, found, wanted)
    return rows, differences
