"""The wording of refusals: what is wrong with the file, and what to do next.

Every string that comes from a file passes through ``quote`` before it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rnp_cli.errors import InputRefused

_SHOWN_CHARACTERS = 80
_SHOWN_NAMES = 8
_SHOWN_TENSORS = 5


def quote(value: object) -> str:
    """One key or name from a file, printable and at most some 80 characters long."""
    if isinstance(value, str):
        cut = value[:_SHOWN_CHARACTERS]
        text = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut
        )
        return text + "…" if len(value) > len(cut) else text
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int) and value.bit_length() < 64:
        return repr(value)
    return f"<{type(value).__name__}>"


def listed(values: Iterable[object]) -> str:
    """Quote the first few names of many, joined with commas."""
    names = [quote(value) for value in values]
    shown = ", ".join(names[:_SHOWN_NAMES])
    rest = len(names) - _SHOWN_NAMES
    return f"{shown} and {rest} more" if rest > 0 else shown


def malformed(what: str) -> InputRefused:
    """Say that the file breaks the rules of its own format."""
    return InputRefused(
        what,
        hint="The file is damaged or was crafted; nothing in it was executed. "
        "Fetch it again and compare its digest with the provider's, or ask the "
        "provider for a safetensors file.",
    )


def hostile(what: str) -> InputRefused:
    """Say that the file holds something that only an attack needs."""
    return InputRefused(
        what,
        hint="Treat the file as an attack: do not open it with torch.load or pickle, "
        "and tell whoever provided it. Ask for the weights as safetensors.",
    )


def over_limit(what: str) -> InputRefused:
    """Say that the file asks for more than the limits allow."""
    return InputRefused(
        what,
        hint="A classifier's weights stay far below this limit, so the file may be "
        "crafted to exhaust memory. Ask the provider for the bare weights as "
        "safetensors.",
    )


def unsupported(what: str, hint: str = "") -> InputRefused:
    """Say that the file may be sound, but nothing here reads it."""
    return InputRefused(
        what,
        hint=hint
        or "Load it where it was made and save model.state_dict() with "
        "safetensors.torch.save_file.",
    )


def broken_values(names: Sequence[str]) -> InputRefused:
    """Say which tensors are NaN or infinite, or hold a bool that is neither."""
    shown = ", ".join(quote(name) for name in names[:_SHOWN_TENSORS])
    return unsupported(
        f"{len(names)} tensors hold NaN, infinite or impossible values: {shown}.",
        "Such a model computes nothing useful. Ask for a checkpoint from before its "
        "training diverged.",
    )


def reader_died(how: str) -> InputRefused:
    """Say that the process that reads the file did not come to a sound end."""
    return InputRefused(
        f"The process that reads it {how}.",
        hint="The file is malformed, hostile or far larger than a classifier's "
        "weights; nothing was executed in this process. Ask the provider for the bare "
        "weights as safetensors.",
    )
