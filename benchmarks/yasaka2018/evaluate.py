"""Measure the trainings of Yasaka's five models on reserved phantoms that nothing was trained or tuned on.

    python benchmarks/yasaka2018/evaluate.py --runs runs/yasaka2018 --out runs/yasaka2018/evaluation
        [--per-category 40] [--record]

The phantoms (seeds from 902000, the categories in turn, every fourth of a category atypical, phases displaced
by up to 3 mm and not registered) are made and cut once and kept in the folder given. Every model answers for
the same lesions; figures are medians and ranges over the repeats, as in the paper. ``--record`` writes the
figures of each model's median repeat into its bundle and copies that into Resources/Bundles.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from reserved import Y5, Cut, cut_lesions, lesions
from rich.console import Console
from rich.table import Table
from train import MODELS, REPEATS, configuration, run_folder

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.bundles.write import record_metrics
from LiverLesionAI.evaluation.comparison import mcnemar
from LiverLesionAI.evaluation.intervals import modified_wilson_interval
from LiverLesionAI.evaluation.metrics import validation_metrics
from LiverLesionAI.evaluation.ordinal import malignancy_area
from LiverLesionAI.evaluation.predictions import Predictions, TaskAnswers, read_repeats
from LiverLesionAI.evaluation.repeats import RepeatStudy, Spread, median_repeat, study_repeats
from LiverLesionAI.inference import Classifier
from LiverLesionAI.resources import BUNDLES

TASK = "type"


def answered(cuts: Sequence[Cut], bundle: Bundle) -> np.ndarray:
    """Probabilities of each lesion, ``[n, 5]``."""
    classifier = Classifier(bundle, keep_loaded=True)
    predictions = classifier.predict([cut.unit(bundle.spec.sequences) for cut in cuts])
    return np.stack([each.tasks[TASK].mean for each in predictions])


def write_repeats(file: Path, cuts: Sequence[Cut], repeats: Mapping[int, np.ndarray]) -> None:
    """A table as ``liverlesionai evaluate`` reads it, with the answers of several trainings."""
    classes = (f"prob_{TASK}_{name}" for name in Y5.names)
    head = ("study_id", "lesion", "truth", "repeat", f"pred_{TASK}", *classes)
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(head)
        for repeat, found in repeats.items():
            for cut, row in zip(cuts, found, strict=True):
                said = Y5.names[int(row.argmax())]
                numbers = [f"{p:.6f}" for p in row]
                table.writerow((f"phantom-{cut.lesion.seed}", 1, cut.lesion.truth, repeat, said, *numbers))


def main() -> None:
    """Run the evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, required=True, help="what train.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for cut phantoms, tables, figures")
    parser.add_argument("--per-category", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--jobs", type=int, help="processes that make phantoms")
    parser.add_argument("--record", action="store_true", help="ship the median repeats with their figures")
    parser.add_argument("--only-phantoms", action="store_true", help="make the phantoms and stop")
    arguments = parser.parse_args()
    everyone = lesions(arguments.per_category)
    patches = configuration(MODELS[0]).patches
    cuts = cut_lesions(everyone, patches, arguments.out / "phantoms", arguments.jobs)
    if arguments.only_phantoms:
        return
    tables: dict[str, dict[str, Predictions]] = {}
    for model in MODELS:
        name = configuration(model).name
        found = {
            repeat: answered(cuts, load_bundle(run_folder(arguments.runs, model, repeat) / name))
            for repeat in range(arguments.repeats)
        }
        write_repeats(arguments.out / f"{model}.csv", cuts, found)
        tables[model] = read_repeats(arguments.out / f"{model}.csv")
    compared = study_repeats(tables, TASK)
    chosen = {model: _median(repeats) for model, repeats in tables.items()}
    console = Console(width=150)
    _show(console, tables, chosen)
    if compared is not None:
        _show_repeats(console, compared)
    figures = _figures(tables, chosen)
    (arguments.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if arguments.record:
        cohort = f"reserved phantoms (seeds {everyone[0].seed}–{everyone[-1].seed}, displaced by up to 3 mm)"
        for model, repeat in chosen.items():
            _ship(run_folder(arguments.runs, model, int(repeat)), tables[model][repeat], model, cohort)


def _median(repeats: Mapping[str, Predictions]) -> str:
    """Name of the repeat of median accuracy."""
    median = median_repeat(repeats)
    return next(name for name, each in repeats.items() if each is median)


def _ship(run: Path, predictions: Predictions, model: str, cohort: str) -> None:
    name, answers = configuration(model).name, predictions.tasks[TASK]
    order = [answers.classes.index(each) for each in Y5.names]
    assert answers.probabilities is not None
    probabilities = answers.probabilities[:, order]
    labels = np.array([order.index(each) for each in answers.truth])
    metrics = validation_metrics({TASK: Y5}, {TASK: labels}, {TASK: probabilities}, cohort)
    record_metrics(load_bundle(run / name), list(metrics))
    shutil.rmtree(BUNDLES / name, ignore_errors=True)
    shutil.copytree(run / name, BUNDLES / name)
    print(f"Shipped: {run.name}")


def _show(
    console: Console, tables: Mapping[str, Mapping[str, Predictions]], chosen: Mapping[str, str]
) -> None:
    """Figures of the repeats of median accuracy, which are the ones that are shipped."""
    head = ("model", "repeat", "accuracy", *Y5.names, "malignancy AUC", "McNemar p, against triphasic")
    table = Table(*head, title="Repeats of median accuracy", title_justify="left")
    first = tables[MODELS[0]][chosen[MODELS[0]]].tasks[TASK]
    for model, repeat in chosen.items():
        predictions = tables[model][repeat]
        answers = predictions.tasks[TASK]
        right, area = answers.truth == answers.predicted, malignancy_area(answers, predictions.patients)
        assert area is not None
        confusion = _confusion(answers)
        table.add_row(
            model,
            repeat,
            _share(right),
            *(f"{row[i]}/{row.sum()}" for i, row in enumerate(confusion)),
            f"{area.value:.3f} ({area.delong[0]:.3f}–{area.delong[1]:.3f})",
            "" if model == MODELS[0] else f"{mcnemar(first.truth == first.predicted, right).exact_p:.2g}",
        )
    console.print(table)
    console.print("triphasic, rows: truth, columns: answer, in the order above")
    console.print(_confusion(first).tolist())


def _show_repeats(console: Console, compared: RepeatStudy) -> None:
    """Medians and ranges over the repeats, and the paper's tests."""
    table = Table("model", "accuracy", *Y5.names, "malignancy AUC", title="All repeats", title_justify="left")
    for model, found in compared.models.items():
        assert found.malignancy_auc is not None
        sensitivities = (_spread(found.sensitivity[name]) for name in Y5.names)
        table.add_row(model, _spread(found.accuracy), *sensitivities, _spread(found.malignancy_auc))
    console.print(table)
    if compared.kruskal_wallis is not None:
        console.print(f"Kruskal–Wallis p {compared.kruskal_wallis.p:.2g}")
    for model, test in compared.steel.items():
        console.print(f"Steel, {model} against triphasic: p {test.p:.2g}")


def _figures(tables: Mapping[str, Mapping[str, Predictions]], chosen: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for model, repeats in tables.items():
        answers = [each.tasks[TASK] for each in repeats.values()]
        found[model] = {
            "accuracy": [float((each.truth == each.predicted).mean()) for each in answers],
            "median_repeat": chosen[model],
            "confusion": _confusion(repeats[chosen[model]].tasks[TASK]).tolist(),
        }
    return found


def _confusion(answers: TaskAnswers) -> np.ndarray:
    classes, truth, said = answers.classes, answers.truth, answers.predicted
    order = [classes.index(name) for name in Y5.names]
    return np.array([[int(((truth == i) & (said == j)).sum()) for j in order] for i in order])


def _spread(spread: Spread) -> str:
    low, high = spread.range
    return f"{spread.median:.3f} ({low:.3f}–{high:.3f})"


def _share(hits: np.ndarray) -> str:
    low, high = modified_wilson_interval(int(hits.sum()), len(hits))
    return f"{hits.mean():.3f} ({low:.3f}–{high:.3f})"


if __name__ == "__main__":
    main()
