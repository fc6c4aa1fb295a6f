from __future__ import annotations

import json
from typing import Any

import pytest

from rnp_cli.report.kinds import KINDS


@pytest.mark.parametrize("kind", [kind.command for kind in KINDS])
def test_each_report_has_a_schema(rnp: Any, kind: str) -> None:
    run = rnp("schema", kind)

    assert (run.code, run.err) == (0, "")
    schema = json.loads(run.out)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False


def test_the_schema_names_what_a_report_holds(rnp: Any, sanitized: Any) -> None:
    schema = json.loads(rnp("schema").out)

    written = json.loads(sanitized.report.read_text())
    assert set(written) == set(schema["properties"])
    assert set(schema["required"]) <= set(written)
