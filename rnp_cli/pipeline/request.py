"""What a caller asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rnp_cli.data.conventions import Convention
from rnp_cli.data.load import LabelSource
from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.errors import UsageError
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.export.formats import FORMATS
from rnp_cli.report.acceptance import Acceptance
from rnp_cli.report.policy import Policy

Method = Literal["rnp", "rnp+repair", "anp", "nad"]
OUTPUT_SUFFIXES = tuple(FORMATS)


class ModelRequest(BaseModel):
    """Which model, with which clean images, and how it takes them.

    input_size: (height, width). value_range: what black and white become, before mean
    is subtracted and std divided by. What is None is found by trying. sources: where
    options come from, for the report alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: Path
    clean_dir: Path
    arch: str | None = None
    labels: LabelSource = "folder"
    max_samples: int = Field(2000, ge=2)
    input_size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    value_range: tuple[float, float] | None = None
    device: str = "auto"
    seed: int = Field(0, ge=0, lt=2**63)
    sources: dict[str, str] = {}

    def convention(self) -> Convention | None:
        """Return the input convention that the caller gives, or None."""
        if self.mean is None and self.std is None and self.value_range is None:
            return None
        black, white = self.value_range or (0.0, 1.0)
        if white <= black:
            raise UsageError("The second value of --range must be above the first.")
        if any(value <= 0 for value in self.std or ()):
            raise UsageError("Every value of --std must be above zero.")
        return Convention(
            name="given",
            scale=white - black,
            mean=tuple(value - black for value in self.mean or (0.0,)),
            std=self.std or (1.0,),
        )


class SanitizeRequest(ModelRequest):
    """What to sanitize, by which method, and where to write it.

    method: "rnp" prunes, as far as the accuracy budget goes; "rnp+repair" prunes no
    more than takes the recovered triggers away, repairs what is left, and looks again;
    "anp" prunes by adversarial masks that begin at the recovered ones, and looks again;
    "nad" distils the pruned model into the original, and looks again.
    when: only on evidence of a backdoor, or always; without evidence only pruning is
    known.

    outputs: files for the model, each in the format that its ending names; the report
    and the statement go beside the first. None: nothing is written. A model that came
    as ONNX goes out as ONNX only.
    compact: leave pruned channels out of the files where that changes no answer; for
    formats that hold the network's graph. bom: write a BOM as well.

    policy: what is called broken in the report; it decides nothing about the model.
    accepted: what of it the model may break.
    """

    outputs: tuple[Path, ...] = ()
    compact: bool = False
    force: bool = False
    bom: bool = False
    defense: DefenseConfig = DefenseConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    method: Method = "rnp+repair"
    when: Literal["evidence", "always"] = "evidence"
    policy: Policy = Policy()
    accepted: tuple[Acceptance, ...] = ()

    def report_path(self) -> Path | None:
        """Return the report's place beside the first output."""
        if not self.outputs:
            return None
        stem = self.outputs[0].name
        for suffix in (*OUTPUT_SUFFIXES, ".sanitized"):
            stem = stem.removesuffix(suffix)
        return self.outputs[0].with_name(f"{stem}.report.json")
