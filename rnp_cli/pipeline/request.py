"""What a caller asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rnp_cli.data.conventions import Convention
from rnp_cli.data.load import LabelSource
from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.errors import UsageError
from rnp_cli.evidence.look import EvidenceConfig

Method = Literal["rnp", "rnp+repair"]
OUTPUT_SUFFIXES = (".safetensors", ".onnx")


class ModelRequest(BaseModel):
    """Which model, with which clean images, and how it takes them.

    input_size: (height, width). value_range: what black and white become, before mean
    is subtracted and std divided by. What is None is found by trying.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    more than takes the recovered triggers away, repairs what is left, and looks again.
    when: only on evidence of a backdoor, or always; without evidence only pruning is
    known.

    output: the safetensors file, or the ONNX file where the model is ONNX, or None to
    write nothing; the report and the statement go beside it. bom: a BOM as well.
    """

    output: Path | None = None
    force: bool = False
    bom: bool = False
    defense: DefenseConfig = DefenseConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    method: Method = "rnp+repair"
    when: Literal["evidence", "always"] = "evidence"

    def report_path(self) -> Path | None:
        """Return the report's place beside the output."""
        if self.output is None:
            return None
        stem = self.output.name
        for suffix in (*OUTPUT_SUFFIXES, ".sanitized"):
            stem = stem.removesuffix(suffix)
        return self.output.with_name(f"{stem}.report.json")
