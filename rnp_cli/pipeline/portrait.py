"""Pictures of a recovered trigger for the report of ``rnp sanitize``."""

from __future__ import annotations

import base64

import torch
from PIL import Image
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.export.pictures import picture, png
from rnp_cli.pipeline.trigger_files import various
from rnp_cli.report.pictures import StampedSample, TriggerPictures

_MOST_SIDE = 96  # pixels; a report holds some twenty of them
_MOST_SAMPLES = 3


def portrait(
    trigger: RecoveredTrigger,
    samples: Samples,
    num_classes: int,
    before: nn.Module,
    after: nn.Module,
) -> TriggerPictures:
    """Draw a trigger by itself, and on a few samples that it is to turn.

    before, after: the model as it came, and as it is written.
    """
    if trigger.source is None:
        others = samples.labels != (-1 if trigger.target is None else trigger.target)
        chosen = samples.take(others.nonzero()[:, 0])
        chosen = various(chosen, num_classes, most=_MOST_SAMPLES)
    else:
        turned = (samples.labels == trigger.source).nonzero()[:_MOST_SAMPLES, 0]
        chosen = samples.take(turned)
    stamped = trigger.stamp(chosen.images)
    answers = [logits_of(m, stamped).argmax(1).tolist() for m in (before, after)]
    gray = torch.full_like(samples.images[:1], 0.5)
    shown = zip(chosen.images, stamped, chosen.labels.tolist(), *answers, strict=True)
    return TriggerPictures(
        on_gray=_png(trigger.stamp(gray)[0]),
        extent=_png(trigger.change.extent()),
        samples=tuple(
            StampedSample(
                clean=_png(clean),
                stamped=_png(worn),
                label=label,
                before=was,
                after=now,
            )
            for clean, worn, label, was, now in shown
        ),
    )


def _png(pixels: Tensor) -> str:
    image = picture(pixels)
    image.thumbnail((_MOST_SIDE, _MOST_SIDE), Image.Resampling.BOX)
    return base64.b64encode(png(image)).decode()
