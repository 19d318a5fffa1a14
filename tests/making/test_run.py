from pathlib import Path

import pytest

from rwsstore.corruptions import CORRUPTIONS, GROUPS
from rwsstore.errors import ConfigError, FormatError, MissingFileError
from rwsstore.making import ExtractionOptions, ExtractionRun, read_run

EXAMPLE = """
version = 1
model = "clean.pth"
dataset = "imagefolder:cifar10"
corruptions = ["noise", "fog"]
anchor_model = "anchor.safetensors"
limit = 10000
seed = 3
mode = "plain"

[network]
network = "vgg16"
num_classes = 10
mean = [0.5, 0.5, 0.5]

[extraction]
severity = 3
anchor = "early"
alphas = [0.5, 1.0]

[extraction.training]
epochs = 2
learning_rate = 0.05
"""

LEAST = 'model = "clean.safetensors"\ndataset = "digits"\ncorruptions = "all"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text)
    return path


def test_an_example(tmp_path: Path) -> None:
    run = read_run(write(tmp_path, EXAMPLE))
    assert run.model == Path("clean.pth")
    assert run.anchor_model == Path("anchor.safetensors")
    assert run.network is not None
    assert run.network.num_classes == 10
    assert run.corruptions == (*GROUPS["noise"], "fog")
    assert (run.limit, run.validation, run.seed, run.mode) == (10_000, None, 3, "plain")
    assert (run.extraction.severity, run.extraction.anchor) == (3, "early")
    assert run.extraction.alphas == (0.5, 1.0)
    assert run.extraction.training.epochs == 2
    assert run.extraction.training.learning_rate == 0.05


def test_what_is_left_out_is_as_it_is_without_a_file(tmp_path: Path) -> None:
    run = read_run(write(tmp_path, LEAST))
    assert run.extraction == ExtractionOptions()
    assert run.corruptions == tuple(CORRUPTIONS)
    assert (run.store, run.network, run.anchor_model) == (None, None, None)


def test_what_is_left_out_of_the_training_is_the_extractions_default(tmp_path: Path) -> None:
    run = read_run(write(tmp_path, LEAST + "[extraction.training]\nepochs = 2\n"))
    default = ExtractionOptions().training
    assert run.extraction.training == default.model_copy(update={"epochs": 2})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("colour = 1", "colour"),
        ("cls = 1", "cls"),
        ("version = 2", "version"),
        ("mode = 'fast'", "mode"),
        ("limit = 0", "limit"),
        ("seed = -1", "seed"),
        ("corruptions = []", "no corruption is named"),
        ("corruptions = ['fogg']", "Did you mean 'fog'"),
        ("corruptions = 3", "corruptions"),
        ("[extraction]\nbits = 5", r"extraction\.bits"),
        ("[extraction]\nlayer = 5", r"extraction\.layer"),
        ("[extraction]\nalphas = [3.0]", r"extraction\.alphas"),
        ("[extraction]\nalphas = []", r"extraction\.alphas"),
        ("[extraction]\nalphas = [nan]", r"extraction\.alphas"),
        ("[extraction]\ntraining = 3", r"extraction\.training"),
        ("[extraction.training]\nepoch = 3", r"extraction\.training\.epoch:"),
        ("[extraction.training]\nlearning_rate = inf", r"training\.learning_rate"),
        ("[network]\nnetwork = 'vgg16'\nnum_classes = 1", "num_classes"),
        ("[network]\nnetwork = 'vgg16'\nnum_classes = 10\ndepth = 3", "depth"),
    ],
)
def test_unknown_keys_and_values_out_of_range_are_named(
    tmp_path: Path, text: str, names: str
) -> None:
    key = text.split(" ")[0]
    least = "".join(line + "\n" for line in LEAST.splitlines() if not line.startswith(key))
    with pytest.raises(ConfigError, match=names):
        read_run(write(tmp_path, least + text))


@pytest.mark.parametrize("key", ["dataset", "corruptions"])
def test_what_is_needed_is_named(tmp_path: Path, key: str) -> None:
    text = "".join(line + "\n" for line in LEAST.splitlines() if not line.startswith(key))
    with pytest.raises(ConfigError, match=key):
        read_run(write(tmp_path, text))


@pytest.mark.parametrize(
    "text", ['anchor_model = "a.safetensors"', "[extraction]\nanchor = 'early'"]
)
def test_an_anchor_and_its_checkpoint_go_together(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="anchor_model"):
        read_run(write(tmp_path, LEAST + text))


@pytest.mark.parametrize("data", [b"model = ", b"\xff\xfe", b"[a]\n[a]\n", b'{"model": 1}'])
def test_what_is_not_toml_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="not TOML"):
        read_run(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="at most"):
        read_run(write(tmp_path, "#" * (2**20 + 1)))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        read_run(tmp_path / "run.toml")


def test_a_run_and_its_options_cannot_be_changed() -> None:
    run = ExtractionRun.of(model="m.safetensors", dataset="digits", corruptions="fog")
    with pytest.raises(ValueError, match="frozen"):
        run.seed = 1  # type: ignore[misc]  # this is what is tested
    with pytest.raises(ValueError, match="frozen"):
        run.extraction.bits = 4  # type: ignore[misc]  # this is what is tested


def test_the_bundled_model_is_the_one_that_is_meant_without_a_word(tmp_path: Path) -> None:
    least = "".join(line + "\n" for line in LEAST.splitlines() if not line.startswith("model"))
    assert read_run(write(tmp_path, least)).model == Path("bundled")
