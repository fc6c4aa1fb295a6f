"""Reads members of a checked zip archive, each against its checksum."""

from __future__ import annotations

import zlib

from rnp_cli.checkpoints.records import Span
from rnp_cli.checkpoints.refusals import malformed, quote
from rnp_cli.checkpoints.source import Source
from rnp_cli.checkpoints.zip_directory import STORED, Member


def member_span(source: Source, member: Member) -> Span:
    """Find the member's bytes: in place where stored, in new memory where deflated.

    Raises InputRefused where they are not what the archive promises.
    """
    end = member.start + member.packed
    with memoryview(source.data)[member.start : end] as packed:
        if member.method == STORED:
            checksum, span = zlib.crc32(packed), None
        else:
            inflated = _inflate(packed, member)
            checksum = zlib.crc32(inflated)
            span = Span(buffer=inflated, start=0, nbytes=member.size)
    if checksum != member.crc:
        raise malformed(
            f"{quote(member.name)} in the archive does not match its checksum."
        )
    return span or Span(buffer=source.data, start=member.start, nbytes=member.size)


def member_bytes(source: Source, member: Member) -> bytes:
    """Copy the member's bytes."""
    span = member_span(source, member)
    return bytes(span.buffer[span.start : span.start + span.nbytes])


def check_unread(source: Source, members: list[Member]) -> None:
    """Check the stored members that nothing reads; raises InputRefused."""
    for member in members:
        if member.method == STORED:
            member_span(source, member)


def _inflate(packed: memoryview, member: Member) -> bytearray:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = bytearray(stream.decompress(packed, member.size + 1))
    except zlib.error:
        raise malformed(
            f"{quote(member.name)} in the archive is damaged: it cannot be inflated."
        ) from None
    if len(inflated) != member.size or not stream.eof or stream.unused_data:
        raise malformed(f"{quote(member.name)} in the archive has another size.")
    return inflated
