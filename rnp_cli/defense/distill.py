"""Distill: the original learns to look where the pruned model looks (NAD).

Li et al., "Neural Attention Distillation: Erasing Backdoor Triggers from Deep Neural
Networks", ICLR 2021, section 3: the student, the backdoored model, is fitted to the
labels of clean samples and to the attention maps of a teacher, the mean over channels
of the squares of what its stages put out. Departures: the teacher is not a fine-tuned
copy but the pruned model, in which the backdoor was cut; stages are found by running
the network once; BatchNorm statistics stay, since a few hundred samples are too few for
new ones, and Adam takes small steps.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation, augment
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.score import clean_accuracy, logits_of
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore

STAGE = "distill"


class DistillConfig(BaseModel):
    """Knobs of the distillation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(20, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of Adam at the start; it falls to a tenth until the end."""
    batch_size: int = Field(64, ge=2)  # paper, section 4
    attention: float = Field(8.0, ge=0)
    """How much it counts that a stage's attention map is like the pruned model's, by
    their squared distance. The paper's weights come to 0.5, 4 and 16: it writes 500,
    1,000 and 1,000, of the mean over the positions."""
    stages: int = Field(3, ge=1)
    """From how many stages of the network attention maps are taken: so many of the
    last ones."""


@dataclass(frozen=True, eq=False)
class Distilled:
    """The student, and its clean accuracy on the holdout after each epoch."""

    model: nn.Module
    history: tuple[float, ...]


def distill(
    student: nn.Module,
    teacher: nn.Module,
    samples: SplitSamples,
    config: DistillConfig,
    *,
    augmentation: Augmentation,
    seed: int,
    listen: Listener = ignore,
) -> Distilled:
    """Return a copy of ``student`` that attends to what ``teacher`` attends to.

    Both map images (batch, channel, height, width) in [0, 1] to logits, and stay as
    they are. They are of the same architecture.
    Raises DefenseFailed when the weights turn NaN.
    """
    listen(StageStarted(stage=STAGE, total=config.epochs))
    learner = copy.deepcopy(student).eval()
    trainable = [p.requires_grad for p in learner.parameters()]
    learner.requires_grad_(True)
    guide = copy.deepcopy(teacher).eval().requires_grad_(False)
    stages = find_stages(learner, samples.fit.images[:2], most=config.stages)
    optimizer = torch.optim.Adam(learner.parameters(), lr=config.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    history: list[float] = []
    with watched(guide, stages) as taught, watched(learner, stages) as learnt:
        for epoch in range(config.epochs):
            share = 1 - 0.9 * epoch / config.epochs
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * share
            for batch in samples.fit.batches(config.batch_size, generator):
                images = augment(batch.images, augmentation, generator)
                guide(images)
                loss = F.cross_entropy(learner(images), batch.labels)
                for stage in stages:
                    apart = attention(learnt[stage]) - attention(taught[stage])
                    loss = loss + config.attention * apart.square().sum(1).mean()
                if not torch.isfinite(loss):
                    raise _diverged()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            history.append(clean_accuracy(learner, samples.holdout))
            listen(StepDone(stage=STAGE, step=epoch + 1, clean_accuracy=history[-1]))
    for parameter, was_trainable in zip(learner.parameters(), trainable, strict=True):
        parameter.requires_grad_(was_trainable)
    summary = f"clean accuracy {history[-1]:.1%} on the holdout"
    listen(StageDone(stage=STAGE, summary=summary))
    return Distilled(learner, tuple(history))


def attention(features: Tensor) -> Tensor:
    """Return unit maps (batch, height * width) of (batch, channel, height, width)."""
    return F.normalize(features.float().square().mean(1).flatten(1), dim=1)


def find_stages(model: nn.Module, images: Tensor, *, most: int) -> list[str]:
    """Name the module that puts out the last features of each size, ``most`` at most.

    Features of one pixel hold no map. In a network without others there is no stage.
    """
    last: dict[tuple[int, ...], str] = {}
    with watched(model, [name for name, _ in model.named_modules() if name]) as outputs:
        logits_of(model, images)
    for name, output in outputs.items():
        if isinstance(output, Tensor) and output.ndim == 4:
            last[tuple(output.shape[2:])] = name
    sizes = sorted((size for size in last if max(size) > 1), reverse=True)
    return [last[size] for size in sizes[-most:]]


@contextmanager
def watched(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Hold what these modules put out last, in the order in which they ended."""
    outputs: dict[str, Tensor] = {}
    hooks = []
    for name in names:

        def hold(_m: nn.Module, _i: object, output: Tensor, name: str = name) -> None:
            outputs.pop(name, None)
            outputs[name] = output

        hooks.append(model.get_submodule(name).register_forward_hook(hold))
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _diverged() -> DefenseFailed:
    return DefenseFailed(
        "The distillation turned the weights to values that are not finite.",
        hint="Lower distill.learning_rate with --config, or reject the model.",
    )
