"""Make one study's page: `python -m benchmarks.paper NAME --data NAME:PATH`."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from benchmarks.paper.study import open_study
from rwsstore.errors import RwsError

STUDIES = {
    "tables": "tables:run",
    "layers": "tables:run_layers",
    "alpha": "strengths:run_alpha",
    "anchors": "anchors:run",
    "compositions": "strengths:run_compositions",
    "similarity": "similarity:run",
    "features": "similarity:run_features",
    "rival": "rival:run",
    "parameter_corruption": "parameter_corruption:run",
    "corruption_resistant": "weights:run_corrupted",
    "hessian_aware": "weights:run_flipped",
    "filtering": "filtering:run",
    "clat_baselines": "clat_tables:run_baselines",
    "clat_layers": "clat_tables:run_layers",
    "clat_dynamic": "clat_tables:run_dynamic",
    "clat_clean": "clat_tables:run_clean",
    "clat_count": "clat_tables:run_count",
    "clat_blackbox": "clat_tables:run_blackbox",
    "clat_patch": "clat_patch:run",
}
"""A module of this package and its function each, which takes the study, and may return headline
figures as JSON values."""

_OWN = {"augmented": "tables", "image": "features"}
"""Options that one study alone takes."""


def run_of(name: str) -> Callable[..., dict[str, Any] | None]:
    run: Callable[..., dict[str, Any] | None] = resolve_name(f"benchmarks.paper.{STUDIES[name]}")
    return run


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    made.add_argument("study", choices=STUDIES)
    path = {"type": Path, "metavar": "DIR"}
    made.add_argument("--data", required=True, metavar="NAME:PATH", help="as rws takes it")
    made.add_argument("--bundle", help="model and patches; default: those shipped", **path)  # type: ignore[arg-type]  # values of several types
    made.add_argument("--work-bundle", help="folder that rws bundle worked in", **path)  # type: ignore[arg-type]
    made.add_argument("--work", default=Path("build/paper"), **path)  # type: ignore[arg-type]
    made.add_argument("--docs", default=Path("docs/paper"), **path)  # type: ignore[arg-type]
    made.add_argument(
        "--config", type=Path, default=Path(__file__).with_name("paper.toml"), metavar="FILE"
    )
    made.add_argument("--threads", type=int, metavar="N", help="default: the cores given to us")
    made.add_argument(
        "--augmented", type=Path, metavar="FILE",
        help="tables: checkpoint of the one model on all corruptions; default: trained here",
    )  # fmt: skip
    made.add_argument(
        "--image", type=Path, metavar="FILE", help="features: default: scikit-image's cat"
    )
    made.add_argument("--json", action="store_true", help="print the headline figures as JSON")
    return made


def main() -> None:
    """Open the study, run it; an error of ours is told in one line, with the exit code of `rws`."""
    made = parser()
    arguments = made.parse_args()
    own = {}
    for option, name in _OWN.items():
        if (value := getattr(arguments, option)) is not None:
            if arguments.study != name:
                made.error(f"--{option} is for the study {name}")
            own[option] = value
    try:
        study = open_study(arguments.study, arguments)
        found = run_of(study.name)(study, **own) or {}
    except RwsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    if arguments.json:
        headlines = {"page": str(study.docs / f"{study.name}.md"), **found}
        print(json.dumps(headlines, indent=2, allow_nan=False, ensure_ascii=False))


if __name__ == "__main__":
    main()
