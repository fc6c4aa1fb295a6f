from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rnp_cli.cli.app import app
from rnp_cli.cli.defaults import sources
from rnp_cli.cli.settable import OWN, SHARED
from rnp_cli.errors import UsageError

EVERYTHING = """
[options]
accepted = "team/accepted.toml"
device = "cpu"
input-size = [32, 64]
labels = "from-model"
max-samples = 300
mean = [0.5, 0.25, 0.125]
range = [0, 255]
seed = 7
std = 0.5
[sanitize]
fail-on = ["backdoor", "residual=10"]
max-accuracy-drop = 3
method = "rnp"
when = "always"
[detect]
fail-on = "weak"
[filter]
fpr = 0.05
"""


@pytest.fixture
def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parse a command line in ``tmp_path``, as Typer does before it runs a command."""
    monkeypatch.chdir(tmp_path)
    group: Any = get_command(app)

    def parsed(command: str, *args: str) -> Any:
        group.name = "rnp"
        parent = group.make_context("rnp", [command, "--help"], resilient_parsing=True)
        extra = ("--suspects", "s") if command == "filter" else ()
        argv = [*args, "models/model.pt", "--clean-dir", "data", *extra]
        return group.commands[command].make_context(command, argv, parent=parent)

    return parsed


def test_a_file_sets_what_it_may(parse: Any, tmp_path: Path) -> None:
    (tmp_path / "rnp.toml").write_text(EVERYTHING)

    params = parse("sanitize").params

    assert params["accepted"] == Path("team/accepted.toml")
    assert (params["device"], params["labels"]) == ("cpu", "from-model")
    assert (params["input_size"], params["value_range"]) == ("32x64", "0,255")
    assert (params["mean"], params["std"]) == ("0.5,0.25,0.125", "0.5")
    assert (params["seed"], params["max_samples"]) == (7, 300)
    assert list(params["fail_on"]) == ["backdoor", "residual=10"]
    assert params["max_accuracy_drop"] == 3
    assert (params["method"], params["when"]) == ("rnp", "always")
    assert parse("detect").params["fail_on"] == "weak"
    assert parse("filter").params["fpr"] == 0.05
    assert parse("trigger").params["seed"] == 7


def test_flag_environment_file_project_and_default_in_this_order(
    parse: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seed(*args: str) -> tuple[int, str | None]:
        ctx = parse("detect", *args)
        return ctx.params["seed"], sources(ctx).get("seed")

    assert seed() == (0, None)
    (tmp_path / "pyproject.toml").write_text("[tool.rnp.detect]\nseed = 1\n")
    assert seed() == (1, "pyproject.toml")
    (tmp_path / "rnp.toml").write_text("[options]\nseed = 2\n")
    assert seed() == (2, "rnp.toml")
    (tmp_path / "team.toml").write_text("[detect]\nseed = 3\n[options]\nseed = 9\n")
    assert seed("--config", "team.toml") == (3, "team.toml")
    monkeypatch.setenv("RNP_CONFIG", "team.toml")
    assert seed() == (3, "team.toml")
    monkeypatch.setenv("RNP_SEED", "4")
    assert seed() == (4, "RNP_SEED")
    assert seed("--seed", "5") == (5, "command line")


@pytest.mark.parametrize("order", [0, 1])
def test_it_does_not_matter_where_the_file_is_named(
    parse: Any, tmp_path: Path, order: int
) -> None:
    (tmp_path / "team.toml").write_text("[options]\nseed = 3\nmax-samples = 9\n")
    (tmp_path / "pyproject.toml").write_text("[tool.rnp.options]\ndevice = 'cpu'\n")
    args = [("--max-samples", "5"), ("--config", "team.toml")]

    params = parse("sanitize", *args[order], *args[1 - order]).params

    assert (params["seed"], params["max_samples"]) == (3, 5)
    assert params["device"] == "cpu"


def test_paths_are_looked_for_beside_the_file(parse: Any, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "rnp.toml").write_text("[options]\naccepted = 'a.toml'\n")

    params = parse("detect", "--config", "team/rnp.toml").params

    assert params["accepted"] == Path("team/a.toml")


def test_each_settable_option_has_a_variable_and_the_rest_has_none(
    parse: Any,
) -> None:
    for command, own in OWN.items():
        for param in parse(command).command.params:
            options = {name.removeprefix("--") for name in param.opts}
            is_settable = bool(options & ({*SHARED, *own, "config"}))
            assert bool(param.envvar) == is_settable, param.name
            assert not is_settable or str(param.envvar).startswith("RNP_")


@pytest.mark.parametrize("command", list(OWN))
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[options]\nsede = 1\n", "[options] has no key 'sede'; the nearest is 'seed'"),
        ("[options]\nfail-on = 'weak'\n", "[options] has no key 'fail-on'"),
        ("[options]\nmodel = 'x'\n", "[options] has no key 'model'"),
        ("[sanitize]\narch = 'x.py:f'\n", "[sanitize] has no key 'arch'"),
        ("[detect]\nwhen = 'always'\n", "[detect] has no key 'when'"),
        ("[filter]\naccepted = 'x'\n", "[filter] has no key 'accepted'"),
        ("[options]\nseed = '1'\n", "[options] seed must be a whole number"),
        ("[options]\nseed = true\n", "[options] seed must be a whole number"),
        ("[options]\nseed = -1\n", "[options] seed: "),
        ("[options]\nmean = ['a']\n", "[options] mean must be"),
        ("[options]\nmean = 'a'\n", "[options] mean does not fit"),
        ("[options]\nrange = [1]\n", "[options] range does not fit"),
        ("[options]\ninput-size = 0\n", "[options] input-size does not fit"),
        ("[options]\nlabels = 'guess'\n", "[options] labels: "),
        ("[sanitize]\nfail-on = ['backdor']\n", "[sanitize] fail-on does not fit"),
        ("[sanitize]\nwhen = 'never'\n", "[sanitize] when: "),
        ("[sanitize]\nmax-accuracy-drop = 100\n", "[sanitize] max-accuracy-drop: "),
        ("[detect]\nfail-on = ['weak']\n", "[detect] fail-on must be a text"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_by_every_command(
    parse: Any, tmp_path: Path, command: str, content: str, said: str
) -> None:
    (tmp_path / "rnp.toml").write_text(content)

    with pytest.raises(UsageError) as error:
        parse(command)

    assert error.value.message.startswith("rnp.toml: ")
    assert said in error.value.message


def test_files_are_named_with_what_they_set(
    parse: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rnp.toml").write_text("[options]\nseed = 2\n[recover]\nepochs = 3\n")

    found = sources(parse("sanitize", "--device", "cpu"))

    assert found == {
        "recover.epochs": "rnp.toml",
        "device": "command line",
        "seed": "rnp.toml",
    }
    told = capsys.readouterr().err
    assert told == "Settings from rnp.toml: recover.epochs, seed.\n"


def test_what_an_option_overrules_is_not_named(parse: Any, tmp_path: Path) -> None:
    (tmp_path / "rnp.toml").write_text(
        "[threshold]\nmax_accuracy_drop = 0.1\npatience = 3\n"
    )

    found = sources(parse("sanitize", "--max-accuracy-drop", "3"))

    assert found == {
        "threshold.patience": "rnp.toml",
        "max-accuracy-drop": "command line",
    }
