"""Transcripts: what is typed and what must be answered, in files that people read.

A file is prose with indented blocks. A line `  $ COMMAND` is run by bash; lines `  > MORE` continue it; what follows,
indented, is what it must print, stdout and stderr as they come. `…` stands for anything within a line, a line of `…`
alone for any lines, and a last line `[N]` for the exit code N where it is not 0.
"""

import os
import re
import subprocess

PATIENCE = 100
WRITE = "FLOE_CLIENTS_WRITE"
# What is asked of the cluster where an answer differs: chance is often a pod that ends, or a controller that has not come yet.
STATE = """
kubectl get pods --all-namespaces -o custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,PHASE:.status.phase,\
READY:.status.containerStatuses[*].ready,RESTARTS:.status.containerStatuses[*].restartCount,DELETED:.metadata.deletionTimestamp
kubectl get events --all-namespaces --sort-by=.metadata.creationTimestamp | tail -12
"""


class Step:
    """One command of a transcript and what it must print."""

    def __init__(self, command, line):
        self.command = command
        self.line = line
        self.wanted = []

    def matches(self, said):
        """Whether the lines `said` are the wanted ones."""
        parts = []
        for line in self.wanted:
            if line == "…":
                parts.append("(?:[^\n]*\n)*?")
            else:
                parts.append(".*?".join(map(re.escape, line.split("…"))) + "\n")
        return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in said)) is not None

    def name(self):
        """The command's first line."""
        return self.command.split("\n", 1)[0]


def parse(text):
    """The steps of a transcript, between the prose (strings) around them."""
    parts = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("  $ "):
            parts.append(Step(line[4:], number))
        elif line.startswith("  > ") and parts and isinstance(parts[-1], Step) and not parts[-1].wanted:
            parts[-1].command += "\n" + line[4:]
        elif line.startswith("  ") and parts and isinstance(parts[-1], Step):
            parts[-1].wanted.append(line[2:])
        else:
            parts.append(line)
    return parts


def render(parts):
    """The text of a transcript."""
    lines = []
    for part in parts:
        if isinstance(part, str):
            lines.append(part)
            continue
        first, *more = part.command.split("\n")
        lines += [f"  $ {first}", *(f"  > {line}" for line in more), *(f"  {line}" for line in part.wanted)]
    return "\n".join(lines) + "\n"


def execute(command, environment, folder):
    """The lines that `command` prints."""
    try:
        done = subprocess.run(
            ["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, cwd=folder, timeout=PATIENCE, check=False,
        )
    except subprocess.TimeoutExpired as error:
        return [*(error.stdout or b"").decode(errors="replace").splitlines(), f"[not done after {PATIENCE} s]"]
    # What stands at the end of a line is not seen by readers, and editors remove it.
    lines = [line.rstrip() for line in done.stdout.decode(errors="replace").splitlines()]
    return lines if done.returncode == 0 else [*lines, f"[{done.returncode}]"]


def run(path, environment, folder):
    """Runs the transcript in the file `path`; returns rows of a table and what differed."""
    with open(path, encoding="utf-8") as file:
        parts = parse(file.read())
    rows, differences = [], []
    for step in (part for part in parts if isinstance(part, Step)):
        said = execute(step.command, environment, folder)
        passed = step.matches(said)
        rows.append((passed, step.name(), said[0] if said else ""))
        if not passed:
            blocks = {"wanted": step.wanted, "found": said}
            if not differences:
                blocks["the cluster then"] = execute(STATE, environment, folder)
            shown = [f"  {title}\n" + "\n".join(f"    {line}" for line in lines) for title, lines in blocks.items()]
            differences.append("\n".join([f"{path}:{step.line}: {step.name()}", *shown]))
            step.wanted = said
    if differences and os.environ.get(WRITE):
        with open(path, "w", encoding="utf-8") as file:
            file.write(render(parts))
    return rows, differences


def commands(path):
    """The text of all commands of a transcript."""
    with open(path, encoding="utf-8") as file:
        return [part.command for part in parse(file.read()) if isinstance(part, Step)]
