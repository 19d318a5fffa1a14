"""What every study starts from: the bundled model and patches, images, and what was found so far.

A study is a row of `benchmarks.paper.__main__` and a function that takes a `Study`; it measures and
trains through it, so that a second run does only what is missing.
"""

import argparse
import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import torch
from torch import Tensor, nn

from benchmarks.paper.settings import Settings, read_settings
from rwsstore import models
from rwsstore.bundled import bundled_folder, model_path, store_path
from rwsstore.cache import LruCache
from rwsstore.canonical import key_part
from rwsstore.corruptions import corrupt
from rwsstore.cpu import ComputeMode, probe, thread_count
from rwsstore.data import ImageSet, load_images, match_classes
from rwsstore.errors import MissingFileError
from rwsstore.files import Results, make_folders
from rwsstore.making import changes, signature
from rwsstore.measure import accuracy, choose_patches
from rwsstore.measure.accuracy import Predict
from rwsstore.models import Classifier
from rwsstore.patches import Kind, Patch, identify, make_patch
from rwsstore.progress import SILENT, ConsoleReporter, Reporter
from rwsstore.runtime import LiveModel, PatchBag, Variant
from rwsstore.store import Store
from rwsstore.training import Recipe, RobustRecipe, TrainingConfig, fit, hold_out
from rwsstore.training.loop import RunState, images_digest, load_run, run_key, save_run

_KEPT = 6
_Net = TypeVar("_Net", bound=nn.Module)
_Item = TypeVar("_Item")


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """Everything that a study needs.

    Attributes:
        name: of its row, its part of the settings, its page and its results.
        clean: θ_std, folded.
        unfolded: the same before folding, where it is at hand.
        store: patches as bundled, at 8 bits, named by corruption.
        wide: the same at 32 bits, where they are at hand.
        validation: images to choose by; results are reported on `test`.
        work: folder of what is kept between runs; studies share trained models in it.
        docs: folder of the page and the pictures.
        results: what was measured so far.
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
        train: ImageSet,
        test: ImageSet,
        clean: Classifier,
        store: Store,
        settings: Settings,
        work: Path,
        docs: Path,
        unfolded: Classifier | None = None,
        wide: Store | None = None,
        progress: Reporter = SILENT,
    ) -> Self:
        """Split the images, and take up an earlier run's results; those of another are refused."""
        rest, validation = hold_out(train, validation=settings.validation, seed=settings.seed)
        rest, test = (
            images if most is None else images.limit(min(most, len(images)), settings.seed)
            for images, most in zip((rest, test), settings.most_images(name), strict=True)
        )
        identity = {
            "settings": settings.of_study(name),
            "clean_weights": models.weights_fingerprint(clean.state_dict()),
            "images": {
                "train": images_digest(rest),
                "validation": images_digest(validation),
                "test": images_digest(test),
            },
            "patches": {entry.name: entry.digest for entry in store.list()},
            "wide_patches": {entry.name: entry.digest for entry in wide.list()} if wide else {},
        }
        results = Results(work / f"{name}.json", identity)
        return cls(
            name, clean, unfolded, store, wide, rest, validation, test, settings, work, docs,
            progress, results,
        )  # fmt: skip

    def each(self, task: str, items: Collection[_Item]) -> Iterator[_Item]:
        """Go through some items, and report which of them are done."""
        with self.progress.task(task, total=len(items)) as bar:
            for item in items:
                yield item
                bar.advance(note=str(item))

    def some(self, images: ImageSet, most: int) -> ImageSet:
        """So many images of a set at most, as many of each class."""
        return images.limit(min(most, len(images)), self.settings.seed)

    def corrupted(self, images: ImageSet, corruption: str, severity: float | None = None) -> Tensor:
        """Corrupt a set's images, uint8 [N, 3, H, W]; the last few answers are kept."""
        chosen = float(self.settings.severity if severity is None else severity)
        make = partial(corrupt, images.images, corruption, chosen, seed=self.settings.seed)
        return self._corrupted.find((images, corruption, chosen), make)

    def measure(
        self, key: str, predict: Predict, images: Tensor | Callable[[], Tensor], labels: Tensor
    ) -> float:
        """Accuracy in percent, from the results if the key was measured before.

        Equal keys must mean equal measurements. What makes images is called only if it is needed.
        """

        def found() -> float:
            return accuracy(predict, images() if callable(images) else images, labels)

        return self.results.number(key, found)

    def seen(
        self,
        key: str,
        predict: Predict,
        corruption: str | None = None,
        severity: float | None = None,
        *,
        images: ImageSet | None = None,
    ) -> float:
        """Accuracy in percent on a set, or on the test images; clean, or with a corruption."""
        chosen = images or self.test
        shown: Tensor | Callable[[], Tensor] = chosen.images
        if corruption is not None:
            shown = partial(self.corrupted, chosen, corruption, severity)
        return self.measure(key, predict, shown, chosen.labels)

    def untrained(self, seed: int | None = None, **fields: object) -> Classifier:
        """A network like the clean one before folding, but for some fields; with random weights."""
        changed = {"batch_norm": True, "folded": False, **fields}
        spec = self.clean.spec.model_copy(update=changed)
        return models.build(spec, seed=self.settings.seed if seed is None else seed).eval()

    def trained(self, name: str, recipe: Recipe, start: _Net, config: TrainingConfig) -> _Net:
        """The network of a run's best epoch on the validation images, in evaluation mode."""
        return with_state(start, self.run_of(name, recipe, start, config).best)

    def run_of(
        self,
        name: str,
        recipe: Recipe,
        start: nn.Module,
        config: TrainingConfig,
        *,
        whole: bool = False,
    ) -> RunState:
        """Train a copy of a model on `train`, or load what that left if it was done before.

        Studies that ask for the same name share its file in the work folder; a file of another
        start, recipe or config, or of other images, is refused and left as it is. Where `whole`,
        it has the last epoch's weights and what the recipe keeps too.
        """
        path, state_file = self.work / f"{name}.safetensors", self.work / f"{name}.state"
        key = self.run_key_of(recipe, start, config)
        done = load_run(path, key)
        if done is None:
            make_folders(self.work)
            run = partial(
                fit, start, recipe, self.train, self.validation, config, label=name,
                state_file=state_file, mode=self.mode(start, config), progress=self.progress,
            )  # fmt: skip
            last: Mapping[str, Tensor] = {}
            if whole:
                last = run(stop_after=config.epochs).model.state_dict()
            best = run()  # after the whole run this takes the best epoch from the state
            kept = recipe.state() if whole else {}
            done = RunState(key, best.history, last, {}, best.model.state_dict(), kept)
            save_run(path, done)
            state_file.unlink(missing_ok=True)
        return done

    def robust(self, corruption: str) -> nn.Module:
        """θ_c, trained in full from the clean model, the paper's way; studies share it."""
        recipe = RobustRecipe(corruption, self.settings.severity, layers=None)
        return self.trained(f"robust-{corruption}", recipe, self.clean, self.settings.robust)

    def patches(self, corruptions: Sequence[str], *, wide: bool = False) -> dict[str, Patch]:
        """The patch of each corruption, at 8 bits or at 32, where these are at hand."""
        store = self.wide if wide else self.store
        if store is None:
            raise MissingFileError(
                "the patches at 32 bits are not at hand: name the folder that rws bundle worked in "
                "(--work-bundle)"
            )
        return choose_patches(store, identify(self.clean.state_dict()), corruptions)

    def bundled(self, kind: Kind) -> Patch | None:
        """The patch of this kind that comes with the model; None where there is none."""
        found = self.store.list(kind=kind)
        return self.store.get(found[0].digest) if found else None

    def difference(
        self, trained: nn.Module, *, bits: int, kind: Kind = "rws", layers: int | None = None,
        **draft: Any,
    ) -> Patch:  # fmt: skip
        """θ_trained − θ_std as a patch, of so many of the shallowest layers or of all that changed.

        Its name is the kind, unless the draft of its description has one.
        """
        clean, after = self.clean.state_dict(), trained.state_dict()
        covered = models.ordered_layers(self.clean)
        if layers is None:
            deltas = changes(clean, clean, after)
        else:
            covered = models.shallowest(self.clean, layers)
            names = [name for layer in covered for name in layer.parameters]
            deltas = signature(names, clean, after, anchor=None)
        paths = tuple(layer.name for layer in covered if deltas.keys() & layer.parameters)
        described = {"kind": kind, "name": kind, "dataset": self.train.name, **draft}
        return make_patch(
            model=identify(clean), layers=paths, deltas=deltas, bits=bits, **described
        )

    def cut(self, robust: nn.Module, corruption: str, *, layers: int, bits: int) -> Patch:
        """A corruption's signature over the shallowest layers, the clean model as its anchor."""
        return self.difference(
            robust, bits=bits, layers=layers, name=corruption, corruption=corruption,
            severity=self.settings.severity, anchor="clean", projected=False,
        )  # fmt: skip

    def live(self, patches: Iterable[Patch]) -> LiveModel:
        """The clean model with these patches at hand; name them by digest."""
        return LiveModel(self.clean, PatchBag(patches))

    def patched(self, patch: Patch, alpha: float | None = None) -> Variant:
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
            models.weights_fingerprint(start.state_dict()),
            self.settings.mode,
            self._images,
        )

    @cached_property
    def _images(self) -> list[str]:
        return [images_digest(images) for images in (self.train, self.validation)]


def faster(model: _Net) -> _Net:
    """Lay a model out for the same float32 sums in another order, half as fast again on a CPU."""
    ComputeMode(channels_last=True).prepare(model)
    return model


def with_state(start: _Net, state: Mapping[str, Tensor]) -> _Net:
    """A copy of a model with other weights, in evaluation mode."""
    model = copy.deepcopy(start)
    model.load_state_dict(dict(state))
    return model.eval().requires_grad_(False)


def open_study(
    name: str, arguments: argparse.Namespace, *, progress: Reporter | None = None
) -> Study:
    """Load what the arguments name; where something is missing, nothing was changed."""
    torch.set_num_threads(arguments.threads or thread_count())
    reporter = ConsoleReporter() if progress is None else progress
    settings = read_settings(arguments.config)
    bundle: Path = arguments.bundle or bundled_folder()
    clean = faster(models.load_clean_model(model_path(bundle)))
    unfolded = wide = None
    if (folder := arguments.work_bundle) is not None:
        if not (folder / "store32").is_dir():
            raise MissingFileError(
                f"{folder} holds no store32: is it the folder rws bundle worked in?"
            )
        unfolded = models.load_checkpoint(folder / "clean.unfolded.safetensors")
        wide = Store(folder / "store32", read_only=True)

    def images(split: Literal["train", "test"]) -> ImageSet:
        size, classes = clean.spec.input_size, clean.spec.classes
        found = load_images(arguments.data, split, size=size, progress=reporter)
        return match_classes(found, classes) if classes else found

    return Study.of(
        name,
        clean=clean,
        unfolded=unfolded,
        store=Store(store_path(bundle), read_only=True),
        wide=wide,
        train=images("train"),
        test=images("test"),
        settings=settings,
        work=arguments.work,
        docs=arguments.docs,
        progress=reporter,
    )
