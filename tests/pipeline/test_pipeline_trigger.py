from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rnp_cli.errors import UsageError
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.evidence.inversion import InversionConfig
from rnp_cli.evidence.triggers import FAMILIES, Family
from rnp_cli.pipeline.trigger import TriggerRequest, recover_triggers
from rnp_cli.report.triggers import TriggerReport

FEW = EvidenceConfig(inversion=InversionConfig(steps=2))


def recovered(digits: Any, **options: Any) -> TriggerReport:
    request = TriggerRequest(
        model=digits.model, clean_dir=digits.clean, device="cpu", **options
    )
    return recover_triggers(request)


def test_what_was_not_found_has_no_picture(digits: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    report = recovered(digits, targets=(3,), evidence=FEW, output=folder)

    assert [(t.found, t.files) for t in report.triggers] == [(False, ())]
    assert report.triggers[0].estimated_success == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {"sheet.png", "triggers.json"}


def test_without_an_output_nothing_is_written(
    digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    report = recovered(digits, targets=(3, 3), evidence=FEW)

    assert [trigger.target for trigger in report.triggers] == [3]
    assert list(tmp_path.iterdir()) == []


def test_too_many_classes_must_be_named(digits: Any) -> None:
    with pytest.raises(UsageError, match="10 classes") as error:
        recovered(digits, evidence=EvidenceConfig(most_classes=9))

    assert "--target" in error.value.hint


def test_the_model_itself_may_be_tried_as_the_sanitized_file(digits: Any) -> None:
    report = recovered(digits, targets=(7,), sanitized=digits.model)

    assert report.sanitized is not None
    assert report.sanitized.sha256 == report.model.sha256
    assert report.sanitized.accuracy == report.accuracy
    [trigger] = report.triggers
    assert trigger.estimated_success == trigger.success_where_found
    assert trigger.estimated_success_sanitized == trigger.estimated_success


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trigger_of_each_family_is_drawn(
    digits: Any, tmp_path: Path, family: Family
) -> None:
    easy = EvidenceConfig(inversion=InversionConfig(steps=60, success=0.2))

    report = recovered(
        digits, targets=(8,), family=family, evidence=easy, output=tmp_path / "out"
    )

    [trigger] = report.triggers
    assert trigger.found
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"sheet.png", "triggers.json", *trigger.files}
