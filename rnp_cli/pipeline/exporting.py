"""The sanitized model in each of the formats that were asked for."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from rnp_cli.data.classifier import Classifier
from rnp_cli.defense.channels import Channel
from rnp_cli.defense.samples import Samples
from rnp_cli.device import flops
from rnp_cli.events import Listener, StageDone, StageStarted
from rnp_cli.export.compact import compacted
from rnp_cli.export.formats import FORMATS
from rnp_cli.export.model import Prepared, SanitizedModel
from rnp_cli.export.safetensors import tensors_sha256
from rnp_cli.export.trial import Trial
from rnp_cli.pipeline.escalate import Removal
from rnp_cli.pipeline.names import inside
from rnp_cli.pipeline.opening import OpenedModel
from rnp_cli.pipeline.request import SanitizeRequest
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import CompactionInfo, OutputInfo, Report

_FEW = 8  # images to rehearse with


@dataclass(frozen=True, eq=False)
class Exported:
    """The model in every format, by file, and what leaving channels out came to."""

    models: Mapping[Path, Prepared]
    compaction: CompactionInfo | None

    def noted_in(self, report: Report) -> Report:
        """Add to a report what is written."""
        outputs = tuple(
            OutputInfo(
                file=plain(path.name),
                format=prepared.format,
                opset=prepared.opset,
                tensors_sha256=tensors_sha256(prepared.tensors),
            )
            for path, prepared in self.models.items()
        )
        noted = {"outputs": outputs, "compaction": self.compaction}
        return report.model_copy(update=noted)


def rehearse(request: SanitizeRequest, opened: OpenedModel, listen: Listener) -> None:
    """Export the model as it came, so that what cannot be written fails first.

    Raises an RnpError. The weights alone can always be written.
    """
    traced = _traced(request, opened)
    if not traced:
        return
    listen(StageStarted(stage="rehearse"))
    clean = opened.clean
    few = Samples(clean.samples.images[:_FEW], clean.samples.labels[:_FEW])
    model = _model(opened, {}, clean.classifier, few)
    exported = _export(request.model_copy(update={"outputs": traced}), model, ())
    for prepared in exported.models.values():
        prepared.content({})
    listen(StageDone(stage="rehearse", summary=_formats(exported)))


def prepare(
    request: SanitizeRequest,
    opened: OpenedModel,
    tensors: Mapping[str, Tensor],
    written: Classifier,
    removal: Removal,
    listen: Listener,
) -> Exported:
    """Turn the sanitized model into what is written.

    tensors: by the checkpoint's names. written: the network of these tensors. Raises an
    RnpError where a format cannot hold it, or where it would answer otherwise.
    """
    model = _model(opened, tensors, written, opened.clean.samples)
    channels = [inside(channel) for channel in removal.pruned]
    if not _traced(request, opened):
        return _export(request, model, channels)
    listen(StageStarted(stage="export"))
    exported = _export(request, model, channels)
    listen(StageDone(stage="export", summary=_formats(exported)))
    return exported


def _model(
    opened: OpenedModel,
    tensors: Mapping[str, Tensor],
    classifier: Classifier,
    samples: Samples,
) -> SanitizedModel:
    classifier = copy.deepcopy(classifier).cpu().eval()
    trial = Trial(classifier.network, samples.images.cpu(), classifier.feed)
    return SanitizedModel(
        tensors,
        opened.checkpoint.graph,
        classifier.network,
        trial,
        opened.clean.spec.output,
    )


def _export(
    request: SanitizeRequest, model: SanitizedModel, pruned: Collection[Channel]
) -> Exported:
    compaction = None
    if request.compact:
        small = compacted(model.network, pruned, model.trial.example)
        model.trial.check(small.network, "The network without its pruned channels")
        before = _size(model)
        model = replace(model, network=small.network)
        after = _size(model)
        compaction = CompactionInfo(
            pruned=len(pruned),
            removed=small.removed,
            parameters_before=before[0],
            parameters_after=after[0],
            flops_before=before[1],
            flops_after=after[1],
        )
    suffixes = {path.suffix for path in request.outputs}
    prepared = {suffix: FORMATS[suffix](model) for suffix in sorted(suffixes)}
    return Exported({p: prepared[p.suffix] for p in request.outputs}, compaction)


def _size(model: SanitizedModel) -> tuple[int, int]:
    """Count parameters, and what one image costs."""
    parameters = sum(p.numel() for p in model.network.parameters())
    return parameters, flops(model.network, model.trial.example)


def _traced(request: SanitizeRequest, opened: OpenedModel) -> tuple[Path, ...]:
    """Return the files that will hold a graph which torch makes of the network."""
    if opened.checkpoint.graph is not None:
        return ()
    return tuple(path for path in request.outputs if path.suffix != ".safetensors")


def _formats(exported: Exported) -> str:
    formats = {prepared.format for prepared in exported.models.values()}
    return ", ".join(sorted(formats))
