from pathlib import Path

import pytest

from rwsstore.cli.main import main
from rwsstore.store import Store
from rwsstore.training import WEIGHT_RECIPES
from tests.cli.conftest import EXTRACT, TRAIN, Bench, Rws


def test_a_second_run_does_only_what_is_missing(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    store = tmp_path / "store"
    common = [*EXTRACT, "--model", bench.model, "--store", store, "--json"]
    first = rws(*common, "--corruptions", "fog").document
    second = rws(*common, "--corruptions", "contrast,fog").document
    assert [(p["name"], p["extracted"]) for p in first["patches"]] == [("fog", True)]
    assert [(p["name"], p["extracted"]) for p in second["patches"]] == [
        ("contrast", True),
        ("fog", False),
    ]
    assert second["patches"][1]["digest"] == first["patches"][0]["digest"]


def test_the_same_command_gives_the_same_patch(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    arguments = [*EXTRACT, "--model", bench.model, "--corruptions", "fog"]
    outcome = rws(*arguments, "--store", tmp_path / "other", "--json")
    assert outcome.document["patches"][0]["digest"] == Store(bench.store).resolve("fog")


def test_a_configuration_file_takes_the_place_of_the_options(
    bench: Bench, rws: Rws, tmp_path: Path
) -> None:
    config = tmp_path / "extraction.toml"
    config.write_text(
        f"""
        version = 1
        model = "{bench.model}"
        store = "{tmp_path / "store"}"
        dataset = "digits"
        corruptions = ["fog"]
        limit = 160
        validation = 40
        mode = "plain"

        [extraction.training]
        epochs = 1
        batch_size = 32
        learning_rate = 0.02
        clip_norm = 1.0
        flip = false
        """
    )
    document = rws("extract", "--config", config, "--json").document
    assert document["patches"][0]["digest"] == Store(bench.store).resolve("fog")
    assert rws("extract", "--config", config, "--bits", 4).code == 2


DELTA = [*EXTRACT, "--recipe", "corruption_resistant", "--set", "epsilon=0.2"]
CARD = ["--card-images", 20, "--card-flips", 4]


def test_a_weight_recipe_gives_one_patch(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    store = tmp_path / "store"
    common = [*DELTA, *CARD, "--model", bench.model, "--store", store, "--layers", "2,13-14"]
    first = rws(*common, "--bits", 4, "--json").document
    again = rws(*common, "--bits", 4, "--json").document
    ((one,), (other,)) = first["patches"], again["patches"]
    assert (one["name"], one["extracted"], one["bits"]) == ("corruption_resistant", True, 4)
    assert (other["extracted"], other["digest"]) == (False, one["digest"])
    metadata = Store(store).get("corruption_resistant").metadata
    assert (metadata.kind, metadata.attack) == ("corruption_resistant", "parameter_corruption_l2")
    assert metadata.budget == 0.2
    shown = [name.rpartition(".")[2] for name in metadata.layers]
    assert shown == ["conv2", "conv13", "classifier"]
    assert metadata.recipe is not None
    parameters = metadata.recipe.parameters
    assert (parameters["epochs"], parameters["learning_rate"]) == (1, 0.01)  # given; the recipe's
    text = rws("inspect", "corruption_resistant", "--store", store).out
    assert "3 layers, 3 of 14 weight tensors" in text
    assert "parameter_corruption_l2, budget 0.2" in text


def test_the_name_and_the_cards_budget_may_be_chosen(
    bench: Bench, rws: Rws, tmp_path: Path
) -> None:
    store = ["--store", tmp_path / "store"]
    chosen = ["--name", "steady", "--card-budget", 0.1, "--layers", "classifier"]
    outcome = rws(*DELTA, *CARD, "--model", bench.model, *store, *chosen)
    assert "steady@1" in outcome.out
    assert "validation RA" in outcome.out
    assert rws("store", "show", "steady", *store, "--json").document["budget"] == 0.1


def test_help_lists_every_recipe_with_its_settings_and_defaults(rws: Rws) -> None:
    for command in ("extract", "train"):
        text = rws(command, "--help").out
        for name, recipe in WEIGHT_RECIPES.items():
            count = recipe.defaults.epochs
            assert f"  {name}: {count} epoch{'' if count == 1 else 's'}, " in text
            for setting in set(recipe.Options.model_fields) - {"layers"}:
                assert f"    {setting}=" in text
        assert "train=robust,antifragile" in text
        assert "    n=none  parameters changed at most" in text


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--set", "epsilom=1"], 4, "Did you mean 'epsilon'?"),
        (["--set", "epsilon"], 4, "expected KEY=VALUE"),
        (["--set", "weight=1", "--set", "weight=1"], 4, "each key once"),
        (["--set", "weight=2"], 4, "weight"),
        (["--set", "p=nan"], 4, "p"),
        (["--set", "layers=fc"], 4, "setting"),
        (["--layers", "15"], 4, "layers 1 to 14"),
        (["--layers", "conv99"], 4, "conv99"),
        (["--name", "No name"], 4, "No name"),
        (["--corruptions", "fog"], 2, "--corruptions: not with --recipe corruption_resistant"),
        (["--severity", "3", "--anchor", "early"], 2, "--severity, --anchor: not with"),
        (["--epochs", "0"], 4, "epochs"),
        (["--card-budget", "-1"], 4, "card_budget"),
        (["--recipe", "hessian_aware"], 4, "epsilon"),
        (["--recipe", "hessian_awarre"], 2, "hessian_awarre"),
        (["--config", "nothing.toml"], 2, "--recipe, --set"),
    ],
)
def test_what_does_not_go_with_a_weight_recipe_is_refused(
    bench: Bench, rws: Rws, tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    store = tmp_path / "store"
    outcome = rws(*DELTA, "--model", bench.model, "--store", store, *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert not store.exists()


@pytest.mark.parametrize(
    "options",
    [["--set", "epsilon=1"], ["--name", "x"], ["--card-flips", "2"], ["--layers", "1-5"],
     ["--layers", "0"]],
)  # fmt: skip
def test_what_does_not_go_with_corruptions_is_refused(rws: Rws, options: list[str]) -> None:
    outcome = rws(*EXTRACT, *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert options[0] in outcome.err


@pytest.mark.usefixtures("formats_unmeasured")
def test_an_early_anchor_goes_end_to_end(rws: Rws, tmp_path: Path) -> None:
    model, store = tmp_path / "model.safetensors", tmp_path / "store"
    assert rws(*TRAIN, "--epochs", 2, "--anchor-epoch", 1, "--out", model).code == 0
    anchor = tmp_path / "model.anchor.safetensors"
    options = ["--model", model, "--store", store, "--anchor", "early", "--anchor-model", anchor]
    assert rws(*EXTRACT, *options, "--corruptions", "fog").code == 0
    shown = rws("store", "show", "fog", "--store", store, "--json").document
    assert (shown["anchor"], shown["projected"]) == ("early", True)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--corruptions", "fgo"], 4, "Did you mean 'fog'?"),
        (["--layers", "99"], 4, "99"),
        (["--anchor", "early"], 4, "go together"),
        (["--model", "nothing.safetensors"], 3, "nothing.safetensors"),
        (["--severity", "6"], 2, "6 is not in the range"),
        (["--learning-rate", "inf"], 4, "learning_rate"),
        (["--config", "nothing.toml"], 2, "leave out"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_published(
    bench: Bench, rws: Rws, tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    store = tmp_path / "store"
    common = [*EXTRACT, "--model", bench.model, "--store", store, "--corruptions", "fog"]
    outcome = rws(*common, *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert not store.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 2", "version"),
        ("colour = 'red'", "colour"),
        ("corruptions = []", "corruptions"),
        ("corruptions = ['fgo']", "fgo"),
        ("[extraction]\nseverity = 9", "extraction.severity"),
        ("[extraction.training]\nepochs = 'many'", "extraction.training.epochs"),
        ("= nonsense", "is not TOML"),
    ],
)
def test_a_bad_configuration_is_refused(rws: Rws, tmp_path: Path, text: str, message: str) -> None:
    config = tmp_path / "extraction.toml"
    keys = {"version": "1", "model": "'m.safetensors'", "dataset": "'digits'"}
    keys["corruptions"] = "'fog'"
    given = text.split(" ", 1)[0]
    lines = [f"{key} = {value}" for key, value in keys.items() if key != given]
    config.write_text("\n".join([*lines, text]))
    outcome = rws("extract", "--config", config)
    assert outcome.code == 4
    assert message in outcome.err


def test_interrupted_it_keeps_what_is_published_and_goes_on(
    bench: Bench, rws: Rws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    common = [*EXTRACT, "--model", bench.model, "--store", store, "--corruptions", "fog,contrast"]
    publish = Store.publish

    def interrupt_the_second(self: Store, *arguments: object, **options: object) -> object:
        if self.list():
            raise KeyboardInterrupt
        return publish(self, *arguments, **options)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(Store, "publish", interrupt_the_second)
    outcome = rws(*common)
    assert outcome.code == 130
    assert "interrupted" in outcome.err
    monkeypatch.undo()
    assert [entry.name for entry in Store(store).list()] == ["fog"]
    assert main(list(map(str, common))) == 0
    assert [entry.name for entry in Store(store).list()] == ["contrast", "fog"]
