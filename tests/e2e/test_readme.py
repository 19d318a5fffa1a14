"""What the README and the pages in docs/ tell a reader to do is done here, as written."""

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import torch
from PIL import Image

from rwsstore.bundled import bundled_model
from rwsstore.cli.main import cli, main
from rwsstore.making import ExtractionRun

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    links = re.findall(r"\]\(([^)#\s]+)", index.read_text())
    shown = {(index.parent / link).resolve() for link in links}
    shelves = {
        page for page in PAGES if page.parent.name in {"start", "use", "operate", "understand"}
    }
    assert shelves <= shown


def make_photographs(folder: Path) -> None:
    """A folder like CIFAR-10's, of random blocks in a colour for each class."""
    classes = bundled_model().spec.classes
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", 3), ("test", 1)):
        for name in classes:
            place = folder / split / name
            place.mkdir(parents=True)
            colour = torch.randint(256, (3, 1, 1), generator=generator)
            for number in range(count):
                noise = torch.randint(-40, 40, (3, 32, 32), generator=generator)
                pixels = (colour + noise).clamp(0, 255).to(torch.uint8)
                Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(place / f"{number}.png")


@pytest.mark.slow
def test_the_readmes_commands_and_its_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RWS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("RWS_THREADS", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_photographs(tmp_path / "cifar10")
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / "photo.jpg")
    commands = [
        shlex.split(line)
        for page in (ROOT / "README.md", ROOT / "docs" / "start" / "own-images.md")
        for block in blocks(page, "sh")
        for line in block.split("\n")
    ]
    ran = [command for command in commands if command]
    assert {command[1] for command in ran} >= {"train", "extract", "evaluate", "apply", "store"}
    for command in ran:
        assert command[0] == "rws"
        assert main(command[1:]) == 0, (command, capsys.readouterr().err)
    # The SDK's quick start needs a service: tests/e2e/test_quick_starts.py.
    _sdk, program = blocks(ROOT / "README.md", "python")
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    names: dict[str, object] = {"images": images}
    exec(compile(program, "README.md", "exec"), names)
    logits = names["logits"]
    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (2, 10)
    exec(
        compile(
            blocks(ROOT / "docs" / "understand" / "runtime.md", "python")[0], "runtime.md", "exec"
        ),
        names,
    )
    # The bundle's second command trains for more than an hour; tests/making makes a small one.
    _follow("start/bundle.md", blocks(ROOT / "docs" / "start" / "bundle.md", "sh")[:1], ran)
    _follow("use/analysis.md", blocks(ROOT / "docs" / "use" / "analysis.md", "sh"), ran)


def _follow(page: str, commands: list[str], ran: list[list[str]]) -> None:
    for block in commands:
        for line in block.splitlines():
            words = shlex.split(line)
            assert words in ran or main(words[1:]) == 0, line
    (program,) = blocks(ROOT / "docs" / page, "python")
    exec(compile(program, page, "exec"), {})


def test_the_commands_on_failing_weights_are_understood() -> None:
    # Too long to run here, and random pictures leave no accuracy to lose: tests/cli/ runs them.
    text = (ROOT / "docs" / "start" / "failing-weights.md").read_text()
    lines = re.findall(r"^rws (?:probe|evaluate) .*$", text, re.MULTILINE)
    assert sum(line.startswith("rws probe") for line in lines) >= 2
    for line in lines:
        words = shlex.split(line)[1:]
        command: click.Command = cli
        while isinstance(command, click.Group):
            name = words.pop(0)
            found = command.get_command(click.Context(command), name)
            assert found is not None, line
            command = found
        command.make_context(name, words, **cli.context_settings)  # click keeps its help option


def test_the_run_in_the_signatures_page_is_valid() -> None:
    (text,) = blocks(ROOT / "docs" / "use" / "signatures.md", "toml")
    run = ExtractionRun.of(**tomllib.loads(text))
    assert run.corruptions == ("fog", "gaussian_noise")
    # The page spells the defaults out, so it must not disagree with them.
    assert (
        run.extraction
        == ExtractionRun.of(model="m", dataset="digits", corruptions="fog").extraction
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    local = [link for link in links if "://" not in link]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert not missing
