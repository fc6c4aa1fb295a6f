"""What a run writes, and in which format: the model, and what lies beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rnp_cli._version import __version__
from rnp_cli.checkpoints import Checkpoint
from rnp_cli.errors import UsageError
from rnp_cli.export.atomic import check_writable, write_all
from rnp_cli.export.safetensors import safetensors_bytes
from rnp_cli.graph import OnnxGraph
from rnp_cli.pipeline.companions import check_companions, companions, origin_of
from rnp_cli.pipeline.request import OUTPUT_SUFFIXES, SanitizeRequest
from rnp_cli.report.sanitization import Report


@dataclass(frozen=True, eq=False)
class SanitizedModel:
    """The tensors to write, and the graph of an ONNX model, which goes with them."""

    state_dict: Mapping[str, Tensor]
    graph: OnnxGraph | None


def check_outputs(request: SanitizeRequest) -> tuple[Path, ...]:
    """Return where the model and the report go; raises UsageError before the work."""
    report_path = request.report_path()
    if request.output is None or report_path is None:
        return ()
    if request.output.suffix not in OUTPUT_SUFFIXES:
        raise UsageError(
            f"{request.output.name} does not end in {' or '.join(OUTPUT_SUFFIXES)}.",
            hint="Those are the formats that sanitized models are written in.",
        )
    outputs = (request.output, report_path)
    if request.model.resolve() in {path.resolve() for path in outputs}:
        raise UsageError("The output would replace the checkpoint that is read.")
    beside = check_companions(request, report_path)
    check_writable((*outputs, *beside), force=request.force)
    return outputs


def check_format(request: SanitizeRequest, checkpoint: Checkpoint) -> None:
    """Check that the checkpoint can be written in the format asked for.

    Raises UsageError where it cannot, and InputRefused where its graph breaks a rule
    of ONNX.
    """
    if request.output is not None:
        is_onnx = checkpoint.graph is not None
        if is_onnx != (request.output.suffix == ".onnx"):
            wanted = ".onnx" if is_onnx else ".safetensors"
            raise UsageError(
                f"{request.model.name} is {checkpoint.format}, which is sanitized to "
                f"{wanted}, not to {request.output.suffix}.",
                hint=f"Give --output a name that ends in {wanted}.",
            )
    if checkpoint.graph is not None:
        from rnp_cli.export.onnx import onnx_bytes

        onnx_bytes(checkpoint.graph, checkpoint.state_dict, {})


def write(
    request: SanitizeRequest,
    outputs: tuple[Path, ...],
    report: Report,
    model: SanitizedModel | None,
) -> tuple[Path, ...]:
    """Write the report, and the model where there is one; return what was written."""
    if not outputs:
        return ()
    model_path, report_path = outputs
    contents = {report_path: report.model_dump_json(indent=2).encode() + b"\n"}
    if model is not None:
        origin = origin_of(request, report)
        metadata = {
            "rnp_version": __version__,
            "rnp_input_sha256": report.model.sha256,
            "rnp_report_sha256": report.digest(),
            "rnp_report": report_path.name,
            "rnp_provenance_sha256": origin.digest(),
        }
        models = {model_path: _bytes(model, metadata)}
        contents |= companions(request, report, origin, contents, models)
        contents |= models  # come last
    write_all(contents, force=request.force)
    return tuple(contents)


def _bytes(model: SanitizedModel, metadata: Mapping[str, str]) -> bytes:
    if model.graph is None:
        return safetensors_bytes(model.state_dict, {"format": "pt", **metadata})
    from rnp_cli.export.onnx import onnx_bytes  # it needs onnx, nothing else does

    return onnx_bytes(model.graph, model.state_dict, metadata)
