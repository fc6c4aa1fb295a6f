"""The methods that are compared: the tool by its public API, and the baselines."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from baselines import BASELINES

from harness import baseline, tool
from harness.baseline import attempt_baseline
from harness.method import Method
from harness.sources import sources_of, tool_sources
from harness.tool import attempt_tool


def _decisive(file: Path) -> list[Path]:
    return [*sources_of(file), Path(baseline.__file__)]


METHODS: Mapping[str, Method] = {
    "rnp": Method(attempt_tool, lambda: [*tool_sources(), Path(tool.__file__)]),
    **{
        name: Method(
            partial(attempt_baseline, defend),
            partial(_decisive, Path(inspect.getfile(defend))),
        )
        for name, defend in BASELINES.items()
    },
}
