"""The methods that are compared: the tool by its public API, and the baselines.

"rnp" is the tool by its defaults; "rnp-" and a word is another of its methods, which is
run only when it is asked for; "without-" and a word, the tool less one of its ideas,
is for the ablation.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from baselines import BASELINES

from harness import baseline, tool
from harness.ablations import ABLATIONS, Change
from harness.baseline import attempt_baseline
from harness.method import Method
from harness.sources import sources_of, tool_sources
from harness.tool import attempt_tool
from rnp_cli.pipeline.request import Method as Way


def _decisive(file: Path) -> list[Path]:
    return [*sources_of(file), Path(baseline.__file__)]


def _of_tool(way: Way, change: Change | None = None) -> Method:
    return Method(
        partial(attempt_tool, way=way, change=change),
        lambda: [*tool_sources(), Path(tool.__file__)],
    )


METHODS: Mapping[str, Method] = {
    "rnp": _of_tool("rnp+repair"),
    "rnp-prune": _of_tool("rnp"),
    "rnp-anp": _of_tool("anp"),
    "rnp-nad": _of_tool("nad"),
    **{
        f"without-{name}": _of_tool("rnp+repair", change)
        for name, change in ABLATIONS.items()
    },
    **{
        name: Method(
            partial(attempt_baseline, defend),
            partial(_decisive, Path(inspect.getfile(defend))),
        )
        for name, defend in BASELINES.items()
    },
}
USUAL = ("rnp", *BASELINES)
COMPARED = (*USUAL, "rnp-prune", "rnp-anp", "rnp-nad")
ABLATED = ("rnp", "rnp-prune", *(f"without-{name}" for name in ABLATIONS))
