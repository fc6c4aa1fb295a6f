"""What torch's two exporters write computes here what onnxruntime says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Member, RandomModule
from onnx_building import dynamic_batch, export, loaded, run_by_onnxruntime
from torch import Tensor, nn

from rnp_cli.defense.channels import find_channel_layers

Network = tuple[nn.Module, tuple[int, int, int]]
EXPORTERS = pytest.mark.parametrize(
    "dynamo", [False, True], ids=["torchscript", "dynamo"]
)


def plain_cnn() -> Network:
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(6, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    return network.eval(), (3, 16, 16)


class Mnist(nn.Module):
    """Ends in a softmax, and flattens by the batch's own size."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3)
        )
        self.linear = nn.Linear(16 * 121, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.tanh(self.convolutions(images))
        return torch.softmax(self.linear(features.view(features.size(0), -1)), 1)


class Modern(nn.Module):
    """Activations of newer networks, squeeze-and-excitation, and a token mixer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.squeeze = nn.Conv2d(8, 2, 1)
        self.excite = nn.Conv2d(2, 8, 1)
        self.slope = nn.PReLU(8)
        self.mix = nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16))
        self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        x = nn.functional.hardswish(self.stem(images))
        gate = self.squeeze(nn.functional.adaptive_avg_pool2d(x, 1))
        x = x * nn.functional.hardsigmoid(self.excite(nn.functional.silu(gate)))
        x = nn.functional.elu(self.slope(x)) + nn.functional.mish(x)
        x = x + nn.functional.leaky_relu(self.mix(x.flatten(2))).view(x.shape)
        logits: Tensor = self.head(x.mean((2, 3)))
        return torch.log_softmax(logits, -1)


NETWORKS: dict[str, Callable[[], Network]] = {
    "plain": plain_cnn,
    "mnist": lambda: (Mnist().eval(), (1, 28, 28)),
    "modern": lambda: (Modern().eval(), (3, 16, 16)),
}
MEMBERS: dict[str, dict[str, Any]] = {
    "resnet20": {},
    "resnet18": {},
    "preactresnet18": {},
    "mobilenetv2-cifar": {},
    "vgg11-bn-torchvision": {},
}


@pytest.fixture
def network(request: pytest.FixtureRequest, random_module: RandomModule) -> Network:
    if request.param in NETWORKS:
        torch.manual_seed(0)
        return NETWORKS[request.param]()
    size = 224 if request.param.startswith("vgg") else 32
    return random_module(request.param, width=4), (3, size, size)


def images_for(shape: tuple[int, int, int], count: int = 3) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(5))


def assert_agree(found: Tensor, wanted: Tensor) -> None:
    scale = wanted.abs().max().item()
    assert (found - wanted).abs().max().item() <= 1e-5 * max(1.0, scale)
    assert torch.equal(found.argmax(1), wanted.argmax(1))


@EXPORTERS
@pytest.mark.parametrize("network", [*NETWORKS, *MEMBERS], indirect=True)
def test_exported_networks_agree(
    network: Network, dynamo: bool, tmp_path: Path
) -> None:
    module, shape = network
    images, path = images_for(shape), tmp_path / "model.onnx"
    export(module, images, path, dynamo=dynamo, **dynamic_batch(dynamo=dynamo))

    found, architecture, checkpoint = loaded(path)
    with torch.no_grad():
        logits, original = found(images), module(images)

    assert_agree(logits, run_by_onnxruntime(path, images))
    assert_agree(logits, original)
    assert architecture.num_classes == logits.shape[1]
    assert (architecture.in_channels, architecture.image_size) == shape[:2]
    assert set(architecture.key_map) == set(checkpoint.state_dict)


@EXPORTERS
@pytest.mark.parametrize("network", ["plain", "mnist", "resnet20"], indirect=True)
def test_a_fixed_batch_becomes_any_batch(
    network: Network, dynamo: bool, tmp_path: Path
) -> None:
    module, shape = network
    images, path = images_for(shape), tmp_path / "model.onnx"
    export(module, images[:1], path, dynamo=dynamo)

    found, _, _ = loaded(path)
    with torch.no_grad():
        logits = found(images)

    assert_agree(logits, run_by_onnxruntime(path, images, batch=1))


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 20])
def test_old_opsets_agree(opset: int, tmp_path: Path) -> None:
    module, shape = plain_cnn()
    images, path = images_for(shape), tmp_path / "model.onnx"
    how = dynamic_batch(dynamo=False)
    export(module, images, path, dynamo=False, opset_version=opset, **how)

    found, _, _ = loaded(path)
    with torch.no_grad():
        assert_agree(found(images), run_by_onnxruntime(path, images))


def test_batch_norms_that_were_kept_are_the_masked_layers(
    member: Member, random_module: RandomModule, tmp_path: Path
) -> None:
    module, path = random_module("resnet20"), tmp_path / "model.onnx"
    images = images_for((3, 32, 32))
    keep = torch.onnx.TrainingMode.PRESERVE
    how = dynamic_batch(dynamo=False)
    export(module, images, path, dynamo=False, training=keep, **how)

    found, architecture, _ = loaded(path)
    layers = find_channel_layers(found, images)
    original = find_channel_layers(module, images)

    assert [(a.kind, a.channels) for a in layers] == [
        (b.kind, b.channels) for b in original
    ]
    names = {ours: theirs for theirs, ours in architecture.key_map.items()}
    assert [names[layer.scaled[0]] for layer in layers] == [
        layer.scaled[0] for layer in original
    ]
