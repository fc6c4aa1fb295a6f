"""What a run writes, and in which formats: the model, and what lies beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rnp_cli._version import __version__
from rnp_cli.checkpoints import Checkpoint
from rnp_cli.errors import UsageError
from rnp_cli.events import Listener, StageDone, StageStarted
from rnp_cli.export.atomic import check_writable, write_all
from rnp_cli.export.extras import imported
from rnp_cli.export.model import Prepared
from rnp_cli.pipeline.companions import (
    check_companions,
    companions,
    origin_of,
    remove_stale,
)
from rnp_cli.pipeline.request import OUTPUT_SUFFIXES, SanitizeRequest
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import Report
from rnp_cli.report.schema import InputInfo


def check_outputs(request: SanitizeRequest) -> tuple[Path, ...]:
    """Return where models and report go; raises UsageError before the work."""
    report_path = request.report_path()
    if report_path is None:
        return ()
    for output in request.outputs:
        if output.suffix not in OUTPUT_SUFFIXES:
            raise UsageError(
                f"{output.name} does not end in {' or '.join(OUTPUT_SUFFIXES)}.",
                hint="Those are the formats that sanitized models are written in.",
            )
        if request.compact and output.suffix == ".safetensors":
            raise UsageError(
                f"{output.name} cannot be compact: without some channels the weights "
                "fit no network of that name, and safetensors holds no graph.",
                hint="With --compact, name files with --output that end in .onnx or "
                ".pt2, which do. A run without it, and with the same seed, writes the "
                "same model as .safetensors.",
            )
    outputs = (*request.outputs, report_path)
    places = [path.resolve() for path in outputs]
    if request.model.resolve() in places:
        raise UsageError("The output would replace the checkpoint that is read.")
    if len({*places}) < len(places):
        raise UsageError("Two outputs are one file.", hint="Give each its own name.")
    if len({path.name for path in outputs}) < len(outputs):
        raise UsageError(
            "Two outputs have one name, and the report could not tell them apart.",
            hint="Give each its own name.",
        )
    beside = check_companions(request, report_path)
    check_writable((*outputs, *beside), force=request.force)
    return outputs


def check_formats(request: SanitizeRequest, checkpoint: Checkpoint) -> None:
    """Check that the checkpoint can be written in the formats asked for.

    Raises UsageError where it cannot, or where a library for that is not installed, and
    InputRefused where its graph breaks a rule of ONNX.
    """
    if checkpoint.graph is None:
        if any(output.suffix == ".onnx" for output in request.outputs):
            from rnp_cli.export.onnx_from_torch import require

            require()
        if request.compact:
            imported("torch_pruning", extra="compact")
        return
    for output in request.outputs:
        if output.suffix != ".onnx":
            raise UsageError(
                f"{request.model.name} is {checkpoint.format}, which is sanitized to "
                f".onnx, not to {output.suffix}.",
                hint="Give --output a name that ends in .onnx.",
            )
    if request.compact:
        raise UsageError(
            f"{request.model.name} is {checkpoint.format}, whose graph is kept as it "
            "came: --compact is for networks of torch.",
            hint="Leave --compact out, or give the PyTorch file.",
        )
    from rnp_cli.export.onnx import onnx_bytes

    onnx_bytes(checkpoint.graph, checkpoint.state_dict, {})


def write(
    request: SanitizeRequest,
    outputs: tuple[Path, ...],
    report: Report,
    models: Mapping[Path, Prepared],
    listen: Listener,
) -> tuple[Path, ...]:
    """Write the report, and the models where there are any; return what was written."""
    if not outputs:
        return ()
    *_, report_path = outputs
    contents = {report_path: report.model_dump_json(indent=2).encode() + b"\n"}
    if models:
        listen(StageStarted(stage="write"))
        origin = origin_of(request, report)
        metadata = {
            "rnp_version": __version__,
            "rnp_input_sha256": report.model.sha256,
            "rnp_report_sha256": report.digest(),
            "rnp_report": report_path.name,
            "rnp_provenance_sha256": origin.digest(),
            **_feeding(report.input),
        }
        files = {path: made.content(metadata) for path, made in models.items()}
        contents |= companions(request, report, origin, contents, files)
        contents |= files  # they come last
    write_all(contents, force=request.force)
    if models:
        named = ", ".join(plain(path.name) for path in models)
        listen(StageDone(stage="write", summary=named))
        remove_stale(request, report_path)
    return tuple(contents)


def _feeding(fed: InputInfo) -> dict[str, str]:
    """Say what the network takes and gives, as the options of the same names do."""
    return {
        "rnp_image_channels": str(fed.channels),
        "rnp_image_size": "x".join(map(str, fed.size)),
        "rnp_image_range": f"0,{fed.scale:.9g}",
        "rnp_image_mean": _numbers(fed.mean),
        "rnp_image_std": _numbers(fed.std),
        "rnp_output": fed.output,
    }


def _numbers(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.9g}" for value in values)
