"""Tables of what was run: beside each client's tests, in a file that people read, how each ends here and why.

A line is `passed NAME`, `not applicable NAME: WHY`, or `varies NAME: WHY` where a test leaves to chance how it ends. A test that
ends otherwise than its line says, that has no line, or a line whose test was not seen, is a difference. FLOE_CLIENTS_WRITE=1 writes the table anew and keeps what it said why.
"""

import os

PASSED, OTHER, VARIES = "passed", "not applicable", "varies"
WRITE = "FLOE_CLIENTS_WRITE"


def read(path):
    """By name of a test: the word of its line, and why it need not pass. Comments are left out."""
    wanted = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(map(str.rstrip, file), 1):
            if not line or line.startswith("#"):
                continue
            word = next((word for word in (PASSED, OTHER, VARIES) if line.startswith(f"{word} ")), None)
            name, _, why = line.removeprefix(f"{word} ").partition(": ")
            if word is None or bool(why) == (word == PASSED):
                raise ValueError(f"{path}:{number}: neither `{PASSED} NAME` nor `{OTHER}|{VARIES} NAME: WHY`: {line}")
            wanted[name] = (word, why)
    return wanted


def head(path):
    """The comments that a table begins with."""
    with open(path, encoding="utf-8") as file:
        return [line for line in file if line.startswith("#")]


def write(path, found, wanted):
    """Writes what was found as the table."""
    lines = head(path)
    for name, failure in found.items():
        word, why = wanted.get(name, (PASSED, ""))
        if word == VARIES:
            lines.append(f"{VARIES} {name}: {why}\n")
        elif failure is None:
            lines.append(f"{PASSED} {name}\n")
        else:
            lines.append(f"{OTHER} {name}: {why or 'TODO ' + failure}\n")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(lines)


def difference(path, name, failure, wanted):
    """How a test's end differs from its line, or nothing."""
    if name not in wanted:
        return f"{path}: has no line for {name}, which {failure or 'passed'}"
    word, why = wanted[name]
    if failure is None and word == OTHER:
        return f"{path}: {name} passes now, and the table says {why}"
    if failure is not None and word == PASSED:
        return f"{path}: {name} did not pass: {failure}"
    return None


def compare(path, found):
    """Rows (passed, name, why not) and differences of `found`: names of tests with how they failed, or nothing."""
    wanted = read(path)
    rows = [(failure is None, name, wanted.get(name, ("", ""))[1] or failure or "") for name, failure in found.items()]
    differences = [difference(path, name, failure, wanted) for name, failure in found.items()]
    differences = [found for found in differences if found]
    differences += [f"{path}: {name} was not run" for name in wanted if name not in found]
    if differences and os.environ.get(WRITE):
        write(path, found, wanted)
    return rows, differences
