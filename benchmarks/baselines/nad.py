"""Neural Attention Distillation: a fine-tuned teacher tells where to look.

Li et al., "Neural Attention Distillation: Erasing Backdoor Triggers from Deep Neural
Networks", ICLR 2021, section 3. The teacher is the model, fine-tuned for 10 epochs;
the student is the model, and learns the labels and the teacher's attention maps (the
mean of the squares over channels, normalised) after the network's stages. Settings as
in BackdoorBench: rate 0.01 on a cosine, momentum 0.9, weight decay 1e-4, betas 500,
1000, 1000; batches of 64 as in the paper.

Departures: the stages are found by running the network once: the last output of each
spatial size above 1x1, the last three of them; the maps' squared distance is summed and
divided by the paper's 32x32, 16x16 and 8x8 positions (of its WRN-16-1, where that is
the mean that it weighs), so that small maps do not drown the labels; 20 epochs for the
student.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from baselines.training import copied, fit
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.errors import DefenseFailed

RATE = 0.01
WEIGHT_DECAY = 1e-4
BATCH = 64
TEACHER_EPOCHS = 10
STUDENT_EPOCHS = 20
BETAS = (500 / 32**2, 1000 / 16**2, 1000 / 8**2)  # of the stages, the last one last


def defend(model: nn.Module, samples: Samples, *, seed: int) -> nn.Module:
    """Return the student."""
    stages = find_stages(model, samples.images[:2])
    if not stages:
        raise DefenseFailed("The network has no feature maps to attend to.")
    betas = BETAS[-len(stages) :]
    teacher, student = copied(model), copied(model)
    fit(
        teacher,
        samples,
        rate=RATE,
        epochs=TEACHER_EPOCHS,
        weight_decay=WEIGHT_DECAY,
        batch_size=BATCH,
        seed=seed,
    )
    with watched(teacher, stages) as taught, watched(student, stages) as learnt:

        def loss_of(images: Tensor, labels: Tensor) -> Tensor:
            with torch.no_grad():
                teacher(images)
            loss = F.cross_entropy(student(images), labels)
            for stage, beta in zip(stages, betas, strict=True):
                away = attention(learnt[stage]) - attention(taught[stage])
                loss = loss + beta * away.square().sum(1).mean()
            return loss

        fit(
            student,
            samples,
            rate=RATE,
            epochs=STUDENT_EPOCHS,
            weight_decay=WEIGHT_DECAY,
            batch_size=BATCH,
            seed=seed,
            loss_of=loss_of,
        )
    return student


def attention(features: Tensor) -> Tensor:
    """Normalised map (batch, height * width) of (batch, channel, height, width)."""
    return F.normalize(features.square().mean(1).flatten(1), dim=1)


def find_stages(model: nn.Module, images: Tensor) -> list[str]:
    """Name the last modules to end with an output of each size, the last three."""
    names = [name for name, _ in model.named_modules() if name]
    last: dict[tuple[int, ...], str] = {}
    with watched(model, names) as outputs:
        logits_of(model, images)
    for name, output in outputs.items():
        if isinstance(output, Tensor) and output.ndim == 4:
            last[tuple(output.shape[2:])] = name
    sizes = sorted((size for size in last if size > (1, 1)), reverse=True)
    return [last[size] for size in sizes[-len(BETAS) :]]


@contextmanager
def watched(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Keep what these modules put out last, in the order in which they ended."""
    outputs: dict[str, Tensor] = {}

    def watch(name: str) -> RemovableHandle:
        def remember(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            outputs.pop(name, None)
            outputs[name] = output

        return model.get_submodule(name).register_forward_hook(remember)

    hooks = [watch(name) for name in names]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
