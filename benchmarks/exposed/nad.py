"""Neural Attention Distillation with the pruned model as the teacher.

As in ``baselines/nad.py``, but for the teacher: there it is the model, fine-tuned for
ten epochs, here it is the model without the channels that unlearning exposed, as it is.
The student starts from the original model, as there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from baselines.nad import (
    BATCH,
    BETAS,
    RATE,
    STUDENT_EPOCHS,
    WEIGHT_DECAY,
    attention,
    find_stages,
    watched,
)
from baselines.training import copied, fit
from torch import Tensor, nn

from exposed.findings import Findings
from rnp_cli.defense.samples import Samples
from rnp_cli.errors import DefenseFailed


def defend(
    model: nn.Module, samples: Samples, *, findings: Findings, seed: int
) -> nn.Module:
    """Return the student."""
    stages = find_stages(model, samples.images[:2])
    if not stages:
        raise DefenseFailed("The network has no feature maps to attend to.")
    betas = BETAS[-len(stages) :]
    teacher, student = findings.pruned_copy(model), copied(model)
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
