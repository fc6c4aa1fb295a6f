"""Finds a zip archive's directory through the records at the file's very end."""

from __future__ import annotations

import struct

from rnp_cli.checkpoints.refusals import malformed
from rnp_cli.checkpoints.source import Source

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")


def locate_directory(source: Source) -> tuple[int, int, int]:
    """Say where the directory starts and ends, and how many members it lists.

    Raises InputRefused unless everything fits together without a spare byte.
    """
    data, end = source.data, source.size - _END.size
    if end < 0 or data[end : end + 4] != b"PK\x05\x06":
        raise malformed("The archive is truncated, or something follows its end.")
    _, disk, first, here, count, size, start, comment = _END.unpack_from(data, end)
    if disk or first or here != count or comment:
        raise malformed("The archive's end record is malformed.")
    locator = end - _LOCATOR.size
    if locator >= 0 and data[locator : locator + 4] == b"PK\x06\x07":
        end = locator - _END64.size
        wide = _wide_end(source, locator, end)
        if not all(
            short in (long, saturated)
            for short, long, saturated in zip(
                (count, size, start),
                wide,
                (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
                strict=True,
            )
        ):
            raise malformed("The archive's two end records disagree.")
        count, size, start = wide
    if start + size != end:
        raise malformed("Foreign bytes were put before or into the archive.")
    return start, end, count


def _wide_end(source: Source, locator: int, end: int) -> tuple[int, int, int]:
    """Read the 64-bit end record: number of members, directory size and start."""
    _, disk, position, disks = _LOCATOR.unpack_from(source.data, locator)
    if disk or disks != 1 or position != end or end < 0:
        raise malformed("The archive's end record is malformed.")
    fields = _END64.unpack_from(source.data, end)
    magic, length, _, _, disk, first, here, count, size, start = fields
    if magic != b"PK\x06\x06" or length != _END64.size - 12:
        raise malformed("The archive's end record is malformed.")
    if disk or first or here != count:
        raise malformed("The archive's end record is malformed.")
    return count, size, start
