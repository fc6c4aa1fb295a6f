"""Reads what torch.save writes since 1.6, and TorchScript archives inertly."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.named_code import NamedCode
from rnp_cli.checkpoints.pickle_machine import unpickle_inertly
from rnp_cli.checkpoints.records import Contents, Span
from rnp_cli.checkpoints.refusals import malformed, quote, unsupported
from rnp_cli.checkpoints.source import Source
from rnp_cli.checkpoints.torch_export import is_exported, read_exported
from rnp_cli.checkpoints.zip_directory import Member, read_directory
from rnp_cli.checkpoints.zip_members import check_unread, member_bytes, member_span

_BYTE_ORDERS = {b"little": False, b"big": True}


def read_torch_zip(source: Source, limits: LoadLimits, named: NamedCode) -> Contents:
    """Turn a zip archive into records; raises InputRefused."""
    members = read_directory(source, limits)
    if is_exported(members):
        return read_exported(source, members, limits)
    root = _root(members)
    pickle_name, order_name = f"{root}/data.pkl", f"{root}/byteorder"
    pickled = unpickle_inertly(
        BytesIO(member_bytes(source, members[pickle_name])), limits, named
    )
    order = b"little"
    if order_name in members:
        order = member_bytes(source, members[order_name])
    if order not in _BYTE_ORDERS:
        raise malformed("The archive names an unknown byte order.")
    storages: dict[str, Span] = {}
    for key, record in pickled.storages.items():
        member = members.get(f"{root}/data/{key}")
        if member is None:
            raise malformed(f"The storage {quote(key)} is missing from the archive.")
        if member.size != record.nbytes:
            raise malformed(
                f"The storage {quote(key)} should have {record.nbytes:,} bytes and "
                f"has {member.size:,}."
            )
        storages[key] = member_span(source, member)
    for name, member in members.items():  # what TorchScript keeps beside the weights
        if name.endswith(".pkl") and name != pickle_name:
            unpickle_inertly(BytesIO(member_bytes(source, member)), limits, named)
    read = {pickle_name, order_name, *(f"{root}/data/{key}" for key in storages)}
    check_unread(source, [m for m in members.values() if m.name not in read])
    return Contents(
        format="TorchScript" if f"{root}/constants.pkl" in members else "PyTorch zip",
        root=pickled.root,
        storages=storages,
        is_big_endian=_BYTE_ORDERS[order],
    )


def _root(members: Mapping[str, Member]) -> str:
    """Find the one folder that holds all; refuse by name what is no torch file."""
    roots = {name.partition("/")[0] for name in members}
    root = next(iter(roots))
    if len(roots) == 1 and f"{root}/data.pkl" in members:
        return root
    if any(name.endswith(".npy") for name in members):
        raise unsupported("It is a NumPy archive (.npz).")
    if any(name.endswith(".h5") for name in members):
        raise unsupported("It is a Keras archive.")
    if any(name.endswith("data.pkl") for name in members):
        raise malformed("The archive has its data.pkl where torch never puts it.")
    raise unsupported(
        "It is a zip archive, but not one that torch.save wrote.",
        "If a model file is inside, unpack it and give that file.",
    )
