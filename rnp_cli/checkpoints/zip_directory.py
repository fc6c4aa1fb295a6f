"""Reads a zip archive's directory so strictly that it can mean only one thing.

Zip readers disagree about duplicates, junk and contradicting headers, and attacks live
on that. Here the members fill the file from its first byte to its directory.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.refusals import malformed, over_limit, quote, unsupported
from rnp_cli.checkpoints.source import Source
from rnp_cli.checkpoints.zip_end import locate_directory

STORED, DEFLATED = 0, 8
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_HAS_DESCRIPTOR = 0x8
_MAX_DESCRIPTOR = 24
_INFLATION_SLACK = 1 << 20
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member: where its bytes lie in the file, and what they should become."""

    name: str
    method: int
    crc: int
    start: int
    packed: int
    size: int


@dataclass(frozen=True, kw_only=True)
class _Entry:
    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header: int


def read_directory(source: Source, limits: LoadLimits) -> dict[str, Member]:
    """List the members by name, in file order; raises InputRefused."""
    start, end, count = locate_directory(source)
    if count > limits.max_members:
        raise over_limit(f"The archive has {count:,} members.")
    entries = sorted(_entries(source, start, end, count), key=lambda e: e.header)
    members: dict[str, Member] = {}
    folded: set[str] = set()
    position = 0
    slack = 0
    for entry in entries:
        if not position <= entry.header <= position + slack:
            raise malformed("The archive's members overlap or hide bytes between them.")
        member = _member(source, entry, start)
        if member.name.casefold() in folded:
            raise malformed(f"The archive has {quote(member.name)} twice.")
        folded.add(member.name.casefold())
        members[member.name] = member
        position = member.start + member.packed
        slack = _MAX_DESCRIPTOR if entry.flags & _HAS_DESCRIPTOR else 0
    if not position <= start <= position + slack:
        raise malformed("The archive hides bytes before its directory.")
    unpacked = sum(member.size for member in members.values())
    if unpacked > limits.max_inflation * source.size + _INFLATION_SLACK:
        raise over_limit(f"The archive inflates too far, to {unpacked:,} bytes.")
    return members


def _entries(source: Source, start: int, end: int, count: int) -> list[_Entry]:
    entries: list[_Entry] = []
    while start < end and len(entries) < count:
        if start + _CENTRAL.size > end:
            raise malformed("The archive's directory is truncated.")
        fields = _CENTRAL.unpack_from(source.data, start)
        magic, flags, method, crc = fields[0], fields[3], fields[4], fields[7]
        name_length, extra_length, comment_length = fields[10:13]
        name_at = start + _CENTRAL.size
        extra_at = name_at + name_length
        start = extra_at + extra_length + comment_length
        if magic != b"PK\x01\x02" or start > end:
            raise malformed("The archive's directory is malformed.")
        packed, size, header = _wide(
            source.data[extra_at : extra_at + extra_length],
            size=fields[9],
            packed=fields[8],
            header=fields[16],
        )
        entries.append(
            _Entry(
                name=source.data[name_at:extra_at],
                flags=flags,
                method=method,
                crc=crc,
                packed=packed,
                size=size,
                header=header,
            )
        )
    if start != end or len(entries) != count:
        raise malformed("The archive's directory lists another number of members.")
    return entries


def _wide(extra: bytes, *, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Replace saturated 32-bit fields by those of the zip64 extra field."""
    wide = b""
    while len(extra) >= 4:
        tag, length = struct.unpack_from("<2H", extra)
        if tag == 1:
            wide = extra[4 : 4 + length]
        extra = extra[4 + length :]
    values = [size, packed, header]
    for index, value in enumerate(values):
        if value == 0xFFFFFFFF:
            if len(wide) < 8:
                raise malformed("The archive's directory lacks a 64-bit size.")
            values[index] = int.from_bytes(wide[:8], "little")
            wide = wide[8:]
    return values[1], values[0], values[2]


def _member(source: Source, entry: _Entry, end: int) -> Member:
    if entry.header + _LOCAL.size > end:
        raise malformed("The archive's directory points outside the file.")
    fields = _LOCAL.unpack_from(source.data, entry.header)
    magic, _, flags, method, _, _, crc, _, _, name_length, extra_length = fields
    name_at = entry.header + _LOCAL.size
    start = name_at + name_length + extra_length
    if magic != b"PK\x03\x04" or start + entry.packed > end:
        raise malformed("A member of the archive lies outside the file.")
    name = _name(entry.name)
    if source.data[name_at : name_at + name_length] != entry.name:
        raise malformed(f"The archive gives {quote(name)} two different names.")
    if (flags | entry.flags) & _ENCRYPTED:
        raise malformed(f"{quote(name)} in the archive is marked as encrypted.")
    if method != entry.method or (not flags & _HAS_DESCRIPTOR and crc != entry.crc):
        raise malformed(f"The archive describes {quote(name)} in two ways.")
    if method not in (STORED, DEFLATED):
        raise unsupported(f"{quote(name)} in the archive is compressed unusually.")
    if method == STORED and entry.size != entry.packed:
        raise malformed(f"The archive gives {quote(name)} two sizes.")
    return Member(
        name=name,
        method=method,
        crc=entry.crc,
        start=start,
        packed=entry.packed,
        size=entry.size,
    )


def _name(raw: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise malformed("A member of the archive has an unreadable name.") from None
    if not name.isprintable() or name.startswith("/") or ".." in name.split("/"):
        raise malformed(f"A member of the archive has the name {quote(name)}.")
    return name
