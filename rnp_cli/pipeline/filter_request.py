"""What a caller of the filter asks for, and what is made ready for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.unlearn import UnlearnConfig
from rnp_cli.evidence.samples import Exposed, SampleConfig, SampleDetector
from rnp_cli.pipeline.opening import OpenedModel, Sibling
from rnp_cli.pipeline.request import ModelRequest


class FilterRequest(ModelRequest):
    """Which images to judge, how strictly, and what to write.

    sanitized: a file that was made of the model, to be held against it, or None: then
    the model is unlearned. fpr: the share of clean images that may be called suspect.
    output: the file for the rows, or None. quarantine: the folder for the suspect
    files, copied there unless ``move`` is set, or None.
    """

    suspects: Path
    sanitized: Path | None = None
    fpr: float = Field(0.01, gt=0, lt=1)
    output: Path | None = None
    force: bool = False
    quarantine: Path | None = None
    move: bool = False
    holdout_share: float | None = Field(None, gt=0, lt=1)
    """What is held out decides which rates can be told. None: a half, or, with a
    sanitized file, what ``rnp sanitize`` holds out, since it was fitted to the rest."""
    unlearn: UnlearnConfig = UnlearnConfig()
    samples: SampleConfig = SampleConfig()


@dataclass(frozen=True, eq=False)
class Prepared:
    """The model and what judges images with it: its stops, or its sanitized sibling."""

    opened: OpenedModel
    parts: SplitSamples
    augmentation: Augmentation
    exposed: Exposed | None
    sibling: Sibling | None
    detector: SampleDetector
