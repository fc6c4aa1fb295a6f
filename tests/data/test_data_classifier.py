from __future__ import annotations

import pytest
import torch
from tiny_nets import corner_net, corners
from torch import nn

from rnp_cli.data.classifier import Classifier, InputSpec, Output, kind_of_output
from rnp_cli.data.conventions import Convention

LAST: dict[Output, nn.Module] = {
    "logits": nn.Identity(),
    "probabilities": nn.Softmax(1),
    "log-probabilities": nn.LogSoftmax(1),
}


def spec(output: Output = "logits", **convention: object) -> InputSpec:
    how = Convention.model_validate({"name": "a test's", **convention})
    return InputSpec(channels=3, size=(2, 2), fit="crop", convention=how, output=output)


def test_images_are_scaled_and_normalized_per_channel() -> None:
    how = spec(scale=255.0, mean=(0.0, 10.0, 20.0), std=(1.0, 2.0, 5.0))
    images = torch.rand(2, 3, 2, 2)

    seen = Classifier(nn.Identity(), how)(images)

    mean = torch.tensor([0.0, 10.0, 20.0]).view(3, 1, 1)
    std = torch.tensor([1.0, 2.0, 5.0]).view(3, 1, 1)
    assert torch.allclose(seen, (images * 255 - mean) / std, atol=1e-4)


def test_what_was_found_of_the_input_is_not_saved_with_the_network() -> None:
    network = corner_net()
    names = [f"network.{name}" for name in network.state_dict()]

    assert list(Classifier(network, spec()).state_dict()) == names


@pytest.mark.parametrize("output", LAST)
def test_the_kind_of_output_is_recognized_and_undone(output: Output) -> None:
    images = corners(6, seed=0).images
    network = nn.Sequential(corner_net().eval(), LAST[output])
    how = spec(output)

    logits = Classifier(network, how)(images)

    assert kind_of_output(network(images)) == output
    wanted = network[0](images).softmax(1)
    assert torch.allclose(logits.softmax(1), wanted, atol=1e-6)


def test_a_certain_softmax_gives_finite_logits() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Softmax(1))
    images = torch.tensor([1000.0, 0.0, 0.0]).view(1, 3, 1, 1)

    logits = Classifier(network, spec("probabilities"))(images)

    assert torch.isfinite(logits).all()
    assert logits.argmax(1).item() == 0


def test_positive_logits_are_not_mistaken_for_probabilities() -> None:
    assert kind_of_output(torch.tensor([[0.5, 0.9], [0.3, 0.7]])) == "logits"
    assert kind_of_output(torch.tensor([[-0.5, -0.9], [-3.0, -7.0]])) == "logits"
