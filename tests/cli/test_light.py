"""What every `--help` and shell completion load: nothing that takes seconds."""

import os
import subprocess
import sys
from dataclasses import fields

import click

from rwsstore.cli.main import cli
from rwsstore.corruptions import CORRUPTIONS, severity_table
from rwsstore.making.export import LAYOUTS, PICTURE_FORMATS
from rwsstore.measure import Resampling, adversarial
from rwsstore.measure.adversarial.report import budget_name
from rwsstore.probes import criticality, filtering
from rwsstore.probes.filtering.report import SCORES

EVERY_HELP = """
import sys
import click
from click.testing import CliRunner
from rwsstore.cli.main import cli

HEAVY = {"torch", "torchvision", "numpy", "PIL", "matplotlib", "rwsstore_client"}

def ask(command, path, context):
    sys.argv = ["rws", *path, "--help"]
    outcome = CliRunner().invoke(cli, [*path, "--help"], standalone_mode=False)
    assert outcome.exit_code == 0 and outcome.output.startswith("Usage: "), outcome.output
    assert not HEAVY & set(sys.modules), (path, HEAVY & set(sys.modules))
    asked = 1
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            below = click.Context(child, info_name=name, parent=context)
            asked += ask(child, [*path, name], below)
    return asked

print(ask(cli, [], click.Context(cli)))
"""


def python(program: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_help_loads_torch() -> None:
    assert int(python(EVERY_HELP)) > 40


def test_wrong_usage_does_not_load_it() -> None:
    wrong = [
        [], ["store"], ["probe"], ["remote"], ["store", "--colour"], ["train", "--colour"],
        ["probe", "bitflips"], ["nothing"],
    ]  # fmt: skip
    python(
        "import sys\nfrom rwsstore.cli.main import main\n"
        f"for arguments in {wrong}:\n"
        "    assert main(arguments) == 2, arguments\n"
        "    assert not {'torch', 'numpy'} & set(sys.modules), arguments\n"
    )


COMPLETED = {
    "rws tr": "plain,train",
    "rws train --cor": "plain,--corruption",
    "rws train --recipe cl": "plain,clat",
    "rws store ls --corruption fo": "plain,fog",
    "rws remote pre": "plain,predict",
}
COMPLETION = """
import os
import sys
from rwsstore.cli.main import run

for line in LINES:
    os.environ.update(COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1))
    print("completing", line)
    try:
        run([])
    except SystemExit:
        pass
    assert not {"torch", "numpy"} & set(sys.modules), line
"""


def test_completion_does_not_load_it_either() -> None:
    program = COMPLETION.replace("LINES", repr(list(COMPLETED)))
    told = python(program, _RWS_COMPLETE="bash_complete")
    _, *answers = told.split("completing ")
    assert len(answers) == len(COMPLETED)
    for answer, (line, found) in zip(answers, COMPLETED.items(), strict=True):
        asked, *choices = answer.splitlines()
        assert asked == line
        assert found in choices


def option(path: str, name: str) -> click.Option:
    command: click.Command = cli
    for word in path.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    (parameter,) = [one for one in command.params if one.name == name]
    assert isinstance(parameter, click.Option)
    return parameter


def choices(path: str, name: str) -> list[str]:
    kind = option(path, name).type
    assert isinstance(kind, click.Choice)
    return list(kind.choices)


def test_names_are_those_of_the_registries() -> None:
    assert choices("train", "corruption") == sorted(CORRUPTIONS)
    assert set(severity_table("cifar").numbers) == set(CORRUPTIONS)
    assert choices("corrupt", "layout") == list(LAYOUTS)
    assert choices("corrupt", "picture_format") == list(PICTURE_FORMATS)
    assert choices("evaluate", "norm") == list(adversarial.DEFAULT_BUDGETS)
    assert choices("probe filtering", "decides") == list(SCORES)


def test_budgets_are_those_of_the_attacks() -> None:
    told = "; ".join(
        f"{','.join(map(budget_name, budgets))} for {norm}"
        for norm, budgets in adversarial.DEFAULT_BUDGETS.items()
    )
    assert told in str(option("evaluate", "epsilon").help)


def test_numbers_of_probes_are_those_that_they_take_by_themselves() -> None:
    weaknesses, curves = criticality.CriticalityOptions(), filtering.FilteringOptions()
    scores = filtering.ScoringOptions()
    expected: dict[str, dict[str, object]] = {
        "probe criticality": {
            "epsilon": weaknesses.epsilon,
            "steps": weaknesses.steps,
            "step_size": f"{weaknesses.step_size:g}",
        },
        "probe filtering": {
            "epsilon": curves.epsilon,
            "thresholds": curves.thresholds,
            "decides": scores.decides,
            "tolerance": scores.tolerance,
            "resamples": scores.resampling.resamples,
        },
    }
    for path, numbers in expected.items():
        for name, number in numbers.items():
            assert option(path, name).default == number, (path, name)
    (resamples,) = [one.default for one in fields(Resampling) if one.name == "resamples"]
    for path in ("evaluate", "probe bitflips"):
        assert option(path, "resamples").default == resamples
