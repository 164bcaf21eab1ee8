"""The command lines of a page, held against the real command, Makefile and environment.

Here: splitting a shell block into its commands, and what is wrong with one. Not here: running it (tests/e2e/).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache

import typer.exceptions
import typer.main
from typer.core import TyperGroup

from serving_assets.cli import app
from serving_assets.settings import PROJECT

COMMAND = "serving-assets"
SEPARATORS = {"|", "||", "&&", ";", "&"}
OF_ANY_MACHINE = {
    "cd",
    "curl",
    "df",
    "echo",
    "export",
    "free",
    "git",
    "grep",
    "head",
    "ls",
    "pgrep",
    "ps",
    "tail",
    "uptime",
}
"""Programs that a page may call beside those of the project."""
IN_PLACE_OF = {"$DAY": "2026-11-21", "$INCIDENT": "7", "$MONTH": "2026-11", "$VERSION": "1"}
"""Values for what a page leaves to the reader and a type checks; every other variable becomes a word."""
FOLDERS = ("serving_assets/", "docs/", "tests/", "benchmarks/", "scripts/", "drill/")


def commands(block: str) -> Iterator[list[str]]:
    """The simple commands of a shell block, as words; comments and assignments before a command are left out."""
    for name, value in IN_PLACE_OF.items():
        block = block.replace(name, value)
    lexer = shlex.shlex(_one_line_each(block), posix=True, punctuation_chars=True)
    lexer.wordchars += "$:=*%?,@#!^+[]{}"
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;"):
            yield from [words] if words else []
            words = []
        elif words or not re.fullmatch(r"[A-Z_]+=.*", word, flags=re.S):
            words.append(word)
    if words:
        yield words


@cache
def every() -> frozenset[str]:
    """The names of all commands, without those below a group."""
    return frozenset(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def wrong_with(words: list[str]) -> str:
    """What keeps a command from working as it is written; empty when nothing does."""
    program, arguments = words[0], words[1:]
    lost = [word for word in words if word.startswith(FOLDERS) and not (PROJECT / word).exists()]
    if lost:
        return f"no such file: {lost[0]}"
    if program.rpartition("/")[2] == COMMAND:
        return _parsed(arguments)
    if program == "make":
        return next((f"make has no target {name}" for name in arguments if name not in _targets()), "")
    if program.startswith(".venv/bin/"):
        return "" if (PROJECT / program).exists() else f"no such program: {program}"
    return "" if program in OF_ANY_MACHINE or (PROJECT / program).is_file() else f"unknown program: {program}"


def names_of(text: str) -> Iterator[str]:
    """What is wrong with the commands that prose or a message names in passing, with or without their arguments."""
    for found in re.finditer(rf"`(?:\.venv/bin/)?{COMMAND} ([^`]*)`", text):
        command, words = typer.main.get_command(app), found[1].split()
        while words and isinstance(command, TyperGroup) and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        if words and isinstance(command, TyperGroup) and not words[0].startswith("-"):
            yield f"{COMMAND} has no {found[1]}"
        yield from (f"{found[0]}: no option {w}" for w in words if w.startswith("--") and w not in known)
    targets = re.findall(r"`make ([a-z-]+)`", text)
    yield from (f"make has no target {name}" for name in targets if name not in _targets())


def _targets() -> set[str]:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.M)
    return set(phony[1].split()) if phony else set()


def _one_line_each(block: str) -> str:
    """The block with a separator at the end of each line, except where a quotation or a backslash goes on."""
    joined, held = [], ""
    for line in block.replace("\\\n", " ").splitlines():
        held += line + "\n"
        try:
            shlex.split(held, comments=True)
        except ValueError:
            continue
        joined.append(re.sub(r"\s#\s.*", "", held).strip())
        held = ""
    return "\n;\n".join(joined) + held


def _parsed(arguments: list[str]) -> str:
    """What the command line says to these arguments before it does anything."""
    command, context = typer.main.get_command(app), None
    try:
        while isinstance(command, TyperGroup):
            context = command.make_context(COMMAND, list(arguments), parent=context)
            rest = [*context._protected_args, *context.args]
            if not rest:
                return ""
            _, found, arguments = command.resolve_command(context, rest)
            assert found is not None
            command = found
        command.make_context(COMMAND, list(arguments), parent=context)
    except typer.exceptions.Exit:
        return ""
    except typer.exceptions.TyperException as error:
        return f"{COMMAND}: {error}"
    return ""
