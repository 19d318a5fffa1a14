"""What every study starts from: the bundled model and patches, images, and what was found so far.

A study is a module of this package with `run(study)`; it measures through `Study.measure` and
trains through `Study.trained`, so that a second run does only what is missing.
"""

__all__ = [
    "Results",
    "Settings",
    "Study",
    "errors_told",
    "open_study",
    "read_settings",
    "start",
    "study_arguments",
    "study_parser",
]

import argparse
import copy
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.paper.settings import Settings, read_settings
from rwsstore.cache import LruCache
from rwsstore.canonical import key_part
from rwsstore.corruptions import corrupt
from rwsstore.cpu import ComputeMode, probe, thread_count
from rwsstore.data import ImageSet, load_images, match_classes
from rwsstore.errors import MissingFileError, RwsError
from rwsstore.files import Results, make_folders
from rwsstore.measure import accuracy, choose_patches
from rwsstore.measure.accuracy import Predict
from rwsstore.models import Classifier, load_checkpoint, load_clean_model, weights_fingerprint
from rwsstore.patches import Patch, identify
from rwsstore.progress import SILENT, ConsoleReporter, Reporter
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.store import Store
from rwsstore.training import Recipe, RobustRecipe, TrainingConfig, fit, hold_out
from rwsstore.training.loop import RunState, images_digest, load_run, run_key, save_run

_KEPT = 6
_CONFIG = Path(__file__).with_name("paper.toml")


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """Everything that a study needs.

    Attributes:
        name: of its module, its part of the settings, its page and its results.
        clean: θ_std, folded.
        unfolded: the same before folding, where it is at hand.
        store: patches as bundled, at 8 bits, named by corruption.
        wide: the same at 32 bits, where they are at hand.
        train: images to train on.
        validation: images to choose by.
        test: images that results are reported on.
        settings: parameters.
        work: folder of what is kept between runs; studies share trained models in it.
        docs: folder of the page and the pictures.
        progress: where to report.
        results: numbers measured so far.
    """

    name: str
    clean: Classifier
    unfolded: Classifier | None
    store: Store
    wide: Store | None
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    settings: Settings
    work: Path
    docs: Path
    progress: Reporter
    results: Results
    _corrupted: LruCache[tuple[ImageSet, str, float], Tensor] = field(
        default_factory=lambda: LruCache(_KEPT)
    )

    @classmethod
    def of(
        cls,
        name: str,
        *,
        clean: Classifier,
        unfolded: Classifier | None = None,
        store: Store,
        wide: Store | None = None,
        train: ImageSet,
        test: ImageSet,
        settings: Settings,
        work: Path,
        docs: Path,
        progress: Reporter = SILENT,
    ) -> "Study":
        """Split the images, and take up the results of an earlier run.

        Raises:
            ConfigError: the results are those of another model, of other patches, images or
                settings.
        """
        rest, validation = hold_out(train, validation=settings.validation, seed=settings.seed)
        rest, test = (
            images if most is None or most >= len(images) else images.limit(most, settings.seed)
            for images, most in zip((rest, test), settings.most_images(name), strict=True)
        )
        identity = {
            "settings": settings.of_study(name),
            "clean_weights": weights_fingerprint(clean.state_dict()),
            "images": {
                "train": images_digest(rest),
                "validation": images_digest(validation),
                "test": images_digest(test),
            },
            "patches": _digests(store),
            "wide_patches": {} if wide is None else _digests(wide),
        }
        results = Results(work / f"{name}.json", identity)
        return cls(
            name, clean, unfolded, store, wide, rest, validation, test, settings, work, docs,
            progress, results,
        )  # fmt: skip

    def corrupted(self, images: ImageSet, corruption: str, severity: float | None = None) -> Tensor:
        """Corrupt a set's images, uint8 [N, 3, H, W]; the last few answers are kept.

        Args:
            images: `test`, `validation`, or any other set.
            corruption: its name.
            severity: that of the settings if None.
        """
        chosen = float(self.settings.severity if severity is None else severity)
        make = partial(corrupt, images.images, corruption, chosen, seed=self.settings.seed)
        return self._corrupted.find((images, corruption, chosen), make)

    def measure(
        self,
        key: str,
        predict: Predict,
        images: Tensor | Callable[[], Tensor],
        labels: Tensor,
    ) -> float:
        """Accuracy in percent, from the results if the key was measured before.

        Args:
            key: names the number; equal keys must mean equal measurements.
            predict: images to logits, in evaluation mode.
            images: [N, 3, H, W], or what makes them, called only if they are needed.
            labels: int64 [N].
        """

        def found() -> float:
            return accuracy(predict, images() if callable(images) else images, labels)

        return self.results.number(key, found)

    def trained(
        self,
        name: str,
        recipe: Recipe,
        start: nn.Module,
        config: TrainingConfig,
        *,
        label: str = "",
    ) -> nn.Module:
        """Train a copy of a model on `train`, or load it if that was done before.

        Args:
            name: of its file in the work folder; studies that ask for the same run share it.
            recipe: as in `fit`.
            start: where training starts; left as it is.
            config: as in `fit`.
            label: what the progress bar calls it; `name` if empty.

        Returns:
            The network of the epoch that is best on the validation images, in evaluation mode.

        Raises:
            ConfigError: the file belongs to a run with another start, recipe or config, or with
                other images; it is left as it is.
        """
        path, state_file = self.work / f"{name}.safetensors", self.work / f"{name}.state"
        key = self.run_key_of(recipe, start, config)
        done = load_run(path, key)
        if done is None:
            make_folders(self.work)
            result = fit(
                start, recipe, self.train, self.validation, config, label=label or name,
                state_file=state_file, mode=self.mode(start, config), progress=self.progress,
            )  # fmt: skip
            done = RunState(key, result.history, {}, {}, result.model.state_dict())
            save_run(path, done)
            state_file.unlink(missing_ok=True)
        model = copy.deepcopy(start)
        model.load_state_dict(dict(done.best))
        return model.eval().requires_grad_(False)

    def robust(self, corruption: str) -> nn.Module:
        """θ_c, trained in full from the clean model, the paper's way; studies share it."""
        recipe = RobustRecipe(corruption, self.settings.severity, layers=None)
        return self.trained(f"robust-{corruption}", recipe, self.clean, self.settings.robust)

    def patches(self, corruptions: Sequence[str], *, wide: bool = False) -> dict[str, Patch]:
        """The patch of each corruption, at 8 bits or at 32.

        Raises:
            UnknownPatchError: there is none for one of them.
            MissingFileError: the patches at 32 bits are not at hand.
        """
        store = self.store
        if wide:
            if self.wide is None:
                raise MissingFileError(
                    "the patches at 32 bits are not at hand: name the folder that rws bundle "
                    "worked in (--work-bundle)"
                )
            store = self.wide
        return choose_patches(store, identify(self.clean.state_dict()), corruptions)

    def live(self, patches: Iterable[Patch]) -> LiveModel:
        """The clean model with these patches at hand; name them by digest."""
        return LiveModel(self.clean, PatchBag(patches))

    def patched(self, patch: Patch, alpha: float | None = None) -> Predict:
        """The clean model with one patch on; α is the recommended one if None."""
        return self.live([patch]).variant({patch.digest: alpha})

    def mode(self, model: nn.Module, config: TrainingConfig) -> ComputeMode:
        """The arithmetic of a training, as the settings say."""
        if self.settings.mode == "auto":
            return probe(model, self.train.images[: config.batch_size])
        fast = self.settings.mode == "bf16"
        return ComputeMode(bf16=fast, channels_last=fast)

    def run_key_of(self, recipe: Recipe, start: nn.Module, config: TrainingConfig) -> str:
        """What defines a training on this study's images."""
        return run_key(
            key_part(recipe.name, recipe.options()),
            config.model_dump(mode="json"),
            weights_fingerprint(start.state_dict()),
            self.settings.mode,
            self._images,
        )

    @cached_property
    def _images(self) -> list[str]:
        return [images_digest(images) for images in (self.train, self.validation)]


def _digests(store: Store) -> dict[str, str]:
    return {entry.name: entry.digest for entry in store.list()}


def study_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every study takes."""
    path = {"type": Path, "metavar": "DIR"}
    parser.add_argument("--data", required=True, metavar="NAME:PATH", help="as rws takes it")
    parser.add_argument("--bundle", help="model and patches; default: those shipped", **path)  # type: ignore[arg-type]  # values of several types
    parser.add_argument("--work-bundle", help="folder that rws bundle worked in", **path)  # type: ignore[arg-type]
    parser.add_argument("--work", default=Path("build/paper"), **path)  # type: ignore[arg-type]
    parser.add_argument("--docs", default=Path("docs/paper"), **path)  # type: ignore[arg-type]
    parser.add_argument("--config", type=Path, default=_CONFIG, metavar="FILE")
    parser.add_argument("--threads", type=int, metavar="N", help="default: the cores given to us")


def open_study(
    name: str, arguments: argparse.Namespace, *, progress: Reporter | None = None
) -> Study:
    """Load what the arguments name.

    Raises:
        RwsError: something is missing, or contradicts something else; nothing was changed.
    """
    from rwsstore.bundled import bundled_folder, model_path, store_path

    torch.set_num_threads(arguments.threads or thread_count())
    reporter = ConsoleReporter() if progress is None else progress
    settings = read_settings(arguments.config)
    bundle: Path = arguments.bundle or bundled_folder()
    # The same float32 sums in another order, half as fast again on a CPU.
    clean = ComputeMode(channels_last=True).prepare(load_clean_model(model_path(bundle)))
    unfolded, wide = _work_bundle(arguments.work_bundle)
    train, test = (_images(arguments.data, split, clean, reporter) for split in ("train", "test"))
    return Study.of(
        name,
        clean=clean,
        unfolded=unfolded,
        store=Store(store_path(bundle), read_only=True),
        wide=wide,
        train=train,
        test=test,
        settings=settings,
        work=arguments.work,
        docs=arguments.docs,
        progress=reporter,
    )


def _work_bundle(folder: Path | None) -> tuple[Classifier | None, Store | None]:
    if folder is None:
        return None, None
    store = folder / "store32"
    if not store.is_dir():
        raise MissingFileError(f"{folder} holds no store32: is it the folder rws bundle worked in?")
    return load_checkpoint(folder / "clean.unfolded.safetensors"), Store(store, read_only=True)


def _images(data: str, split: str, clean: Classifier, progress: Reporter) -> ImageSet:
    chosen = "train" if split == "train" else "test"
    images = load_images(data, chosen, size=clean.spec.input_size, progress=progress)  # type: ignore[arg-type]  # one of two words
    return match_classes(images, clean.spec.classes) if clean.spec.classes else images


def study_parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """A parser with what every study takes."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.paper.{name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    study_arguments(parser)
    return parser


@contextmanager
def errors_told() -> Iterator[None]:
    """Tell an error of ours in one line, and exit as `rws` does."""
    try:
        yield
    except RwsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def start(name: str, run: Callable[[Study], Mapping[str, Any] | None], about: str | None) -> None:
    """The whole `main` of a study that takes no arguments of its own.

    Args:
        name: of its module.
        run: the study; it may return its headline figures as JSON values. `--json` prints them,
            after the path of the page.
        about: for `--help`.
    """
    parser = study_parser(name, about)
    parser.add_argument("--json", action="store_true", help="print the headline figures as JSON")
    arguments = parser.parse_args()
    with errors_told():
        study = open_study(name, arguments)
        headlines = {"page": str(study.docs / f"{name}.md"), **(run(study) or {})}
    if arguments.json:
        print(json.dumps(headlines, indent=2, allow_nan=False, ensure_ascii=False))
