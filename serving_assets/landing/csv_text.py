"""CSV as upstream systems write it, as text that every reader understands: UTF-8, with line ends of one kind.

Here: looking at a file, and copying it where that is needed. Not here: its columns and rows (files.py).
"""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from serving_assets.catalog.spec import Csv

CHUNK_BYTES = 4 << 20
UTF_8 = "utf-8"


def open_content(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked when its name ends in .gz."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def readable(path: Path, dialect: Csv) -> Path:
    """`path` itself where it is UTF-8 with line ends of one kind, else a copy beside it that is.

    Raises:
        ValueError: naming the line with a byte that the declared encoding does not have.
    """
    if dialect.encoding == UTF_8 and not _has_several_line_ends(path):
        return path
    copy = path.with_name(f"{path.name}.utf-8.csv")
    with copy.open("wb") as file:
        for chunk in _one_line_end(_decoded(path, dialect.encoding), dialect.quote.encode()):
            file.write(chunk)
    return copy


def _chunks(path: Path) -> Iterator[bytes]:
    with open_content(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _has_several_line_ends(path: Path) -> bool:
    """Whether lines end in more than one way, or in a carriage return alone; those inside quotes count as well."""
    pairs = newlines = returns = 0
    previous = b""
    for chunk in _chunks(path):
        pairs += chunk.count(b"\r\n") + (previous == b"\r" and chunk[:1] == b"\n")
        newlines, returns = newlines + chunk.count(b"\n"), returns + chunk.count(b"\r")
        previous = chunk[-1:]
    return returns > pairs or 0 < pairs < newlines


def _decoded(path: Path, encoding: str) -> Iterator[bytes]:
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    for chunk in _with_end(_chunks(path)):
        try:
            text = decoder.decode(chunk or b"", final=chunk is None)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            byte = error.object[error.start]
            raise ValueError(f"line {line} of {path} has the byte 0x{byte:02x}, which is not {encoding}.") from error
        line += text.count("\n")
        yield text.encode()


def _with_end(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    yield from chunks
    yield None


def _one_line_end(chunks: Iterable[bytes], quote: bytes) -> Iterator[bytes]:
    """The text with a newline at the end of every line; line ends inside quotes are content and stay as they are."""
    quoted, held = False, b""
    for chunk in chunks:
        text, held = held + chunk, b""
        if text.endswith(b"\r"):
            text, held = text[:-1], b"\r"
        parts = text.split(quote)
        for position, part in enumerate(parts):
            if not quoted:
                parts[position] = part.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            if position < len(parts) - 1:
                quoted = not quoted
        yield quote.join(parts)
    yield held if quoted else held.replace(b"\r", b"\n")
