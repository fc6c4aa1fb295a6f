from __future__ import annotations

from pathlib import Path

import pytest

from rnp_cli.cli.settings import Settings, find_settings, unknown_key
from rnp_cli.errors import UsageError

SETS = "[options]\nseed = 1\n"
PROJECT = "[project]\nname = 'x'\n[tool.rnp.options]\nseed = 2\n"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.toml").write_text(content)


def files(settings: Settings) -> list[str]:
    return [str(layer.file) for layer in settings.layers]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a folder of models below it."""
    here = tmp_path / "parent" / "here"
    (here / "models").mkdir(parents=True)
    (here / "models" / "model.pt").touch()
    monkeypatch.chdir(here)
    return here


MODEL = Path("models/model.pt")


def test_files_of_the_working_directory_are_found_in_order(home: Path) -> None:
    write(home, rnp=SETS, pyproject=PROJECT)

    settings = find_settings(None, MODEL)

    assert files(settings) == ["rnp.toml", "pyproject.toml"]
    assert settings.layers[1].tables["options"] == {"seed": 2}
    assert settings.unread == ()


def test_a_named_file_takes_the_place_of_rnp_toml_alone(home: Path) -> None:
    write(home, rnp=SETS, pyproject=PROJECT, team=SETS)

    assert files(find_settings(Path("team.toml"), MODEL)) == [
        "team.toml",
        "pyproject.toml",
    ]
    assert files(find_settings(home / "pyproject.toml", MODEL)) == [
        str(home / "pyproject.toml")
    ]


def test_parents_and_the_models_folder_are_never_looked_into(home: Path) -> None:
    write(home.parent, rnp=SETS, pyproject=PROJECT)
    write(home / "models", rnp=SETS, pyproject=PROJECT)

    assert find_settings(None, MODEL) == Settings()


@pytest.mark.parametrize("where", ["beside", "folder", "within", "link", "linked"])
def test_what_lies_beside_the_model_is_left_unread_and_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = home / "models"
    write(folder, rnp="[not toml", pyproject=PROJECT)
    model = Path("model.pt")
    match where:
        case "folder":
            model = Path()
        case "within":
            model = Path("..")
        case "link":  # as in caches of downloaded models
            (folder / "model.pt").unlink()
            (folder / "model.pt").symlink_to(home / "blob")
        case "linked":
            model = home / "elsewhere.pt"
            model.symlink_to(folder / "model.pt")
    monkeypatch.chdir(folder)

    settings = find_settings(None, model)

    assert settings == Settings((), (Path("rnp.toml"), Path("pyproject.toml")))
    write(folder, rnp=SETS)
    assert files(find_settings(Path("rnp.toml"), model)) == ["rnp.toml"]


def test_a_project_without_settings_is_none(home: Path) -> None:
    write(home, pyproject="[project]\nname = 'rnp'\n[tool.other]\nx = 1\n")

    assert find_settings(None, MODEL) == Settings()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[options", "rnp.toml cannot be read"),
        ("[options]\nseed = 1" + "0" * 5000, "rnp.toml cannot be read"),
        ("options = 3", "rnp.toml: options must be a table"),
        ("[[detect]]\nseed = 1", "rnp.toml: detect must be a table"),
    ],
)
def test_a_file_that_is_none_is_named(home: Path, content: str, said: str) -> None:
    write(home, rnp=content)

    with pytest.raises(UsageError, match=said):
        find_settings(None, MODEL)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("[tool]\nrnp = {options = {seed = 1}}\n", ["pyproject.toml"]),
        ("[ tool . rnp.options]\nseed = 1\n", ["pyproject.toml"]),
        ("tool.rnp.options.seed = 1\n", ["pyproject.toml"]),
        ("tool = 'rnp'\n", []),
    ],
)
def test_a_project_may_be_written_in_any_way(
    home: Path, content: str, found: list[str]
) -> None:
    write(home, pyproject=content)

    assert files(find_settings(None, MODEL)) == found


def test_a_project_without_tools_that_is_named_sets_nothing(home: Path) -> None:
    write(home, pyproject="tool = 1\n")

    (layer,) = find_settings(Path("pyproject.toml"), MODEL).layers

    assert (layer.tables["options"], layer.knobs) == ({}, {})


def test_a_named_file_that_is_missing_is_an_error(home: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.toml cannot be read: No such"):
        find_settings(Path("missing.toml"), MODEL)


def test_the_nearest_key_is_named() -> None:
    error = unknown_key("x.toml: [options]", "max_sample", ("seed", "max-samples"))

    assert error.message == (
        "x.toml: [options] has no key 'max_sample'; the nearest is 'max-samples'."
    )
    assert error.hint == "It may have max-samples, seed."
