"""Clean accuracy and attack success rate of the digits example's checkpoints.

    python examples/digits/measure_attack.py model.pt sanitized.safetensors

Only whoever planted the backdoor can measure its success: it takes images that carry
the trigger. A defender has none, and ``rnp`` never sees these.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rnp_cli import identify, read_checkpoint
from rnp_cli.architectures import load

HERE = Path(__file__).resolve().parent
TARGET = 7


def images_of(folder: Path) -> tuple[Tensor, Tensor]:
    """Images (count, 1, 8, 8) float32 in [0, 1], and their true classes (count,)."""
    paths = sorted(folder.glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    images = torch.from_numpy(pixels).float()[:, None] / 255
    return images, torch.tensor([int(path.parent.name) for path in paths])


@torch.no_grad()
def measure(checkpoint: Path) -> tuple[float, float]:
    """Return clean accuracy and attack success rate."""
    read = read_checkpoint(checkpoint)
    model = load(identify(read.state_dict, graph=read.graph), read.state_dict)
    clean, labels = images_of(HERE / "clean")
    triggered, _ = images_of(HERE / "triggered")
    accuracy = (model(clean).argmax(1) == labels).float().mean().item()
    success = (model(triggered).argmax(1) == TARGET).float().mean().item()
    return accuracy, success


def main() -> None:
    """Print one line per checkpoint."""
    print(f"{'clean accuracy':>14} {'attack success':>15}")
    for name in sys.argv[1:]:
        accuracy, success = measure(Path(name))
        print(f"{accuracy:14.1%} {success:15.1%}  {name}")


if __name__ == "__main__":
    main()
