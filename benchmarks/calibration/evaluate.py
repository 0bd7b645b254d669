"""Measure the calibration of the shipped bundles on reserved phantoms, and what they notice as unfamiliar.

    python benchmarks/calibration/evaluate.py --out runs/calibration/reserved [--per-class 222]
        [--per-category 400] [--unlike 45] [--jobs 1] [--record] [--data FOLDER] [--first-seed 904000]
        [--first-unlike 908000]

Phantoms of the nine classes that the two systems for MRI know (seeds from 904000; 222 of each are 1,998) and
of the five categories of CT (from 910000; 400 of each are 2,000), a quarter atypical, misaligned by up to
3 mm, are shown to every model that knows their class: how often the 90% sets hold the truth, overall and in
each class, how large they are, and how far calibrated probabilities are from what comes true.
Then brains, CT called MR, livers without a lesion and metal artefacts (seeds from 908000,
made by `unlike.py`) are told from those phantoms by their score alone. `--data` names a folder with the
TotalSegmentator test CT, which stands for every sequence.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from asked import CT, MODELS, asked, in_turn, seen
from judging import calibration_metrics, show, unlike_metrics
from unlike import KINDS, real_ct

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.bundles.write import record_metrics
from LiverLesionAI.inference import Classifier
from LiverLesionAI.resources import BUNDLES

FIRST_SEED, FIRST_CT, FIRST_UNLIKE = 904_000, 910_000, 908_000
REAL_CT, REAL_CT_COUNT = "example_ct_sm.nii.gz", 12


def main() -> None:
    """Run the evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of what the models said")
    parser.add_argument("--per-class", type=int, default=222, help="phantoms of each class")
    parser.add_argument("--per-category", type=int, default=400, help="phantoms of each category of CT")
    parser.add_argument("--unlike", type=int, default=45, help="studies of each unfamiliar kind")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--data", type=Path, help="folder with a real CT")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="of the phantoms")
    parser.add_argument("--first-unlike", type=int, default=FIRST_UNLIKE, help="of what is unfamiliar")
    parser.add_argument("--record", action="store_true", help="write the figures into the bundles")
    parser.add_argument("--only-ask", action="store_true", help="make the phantoms, ask, and stop")
    arguments = parser.parse_args()
    usual = in_turn(arguments.first_seed, arguments.per_class)
    usual += in_turn(FIRST_CT, arguments.per_category, system=CT)
    strange = {
        kind: in_turn(arguments.first_unlike + 200 * number, arguments.unlike // 9, kind)
        for number, kind in enumerate(KINDS)
    }
    answers = [said for _, said in asked(usual, arguments.out, arguments.jobs)]
    odd = {
        kind: [said for _, said in asked(cases, arguments.out, arguments.jobs)]
        for kind, cases in strange.items()
    }
    if arguments.only_ask:
        return
    ct = arguments.data / REAL_CT if arguments.data else None
    figures = {}
    for model in MODELS:
        bundle = load_bundle(BUNDLES / model)
        own = [said[model] for said in answers if model in said]
        shown = {kind: [said[model] for said in found if model in said] for kind, found in odd.items()}
        others = {kind: found for kind, found in shown.items() if found}
        if ct is not None and ct.is_file():
            studies = real_ct(ct, REAL_CT_COUNT, arguments.first_unlike)
            classifier = Classifier(bundle, keep_loaded=True)
            others["real CT"] = [seen(classifier, study, own[0].truth) for study in studies]
        first_seed = FIRST_CT if bundle.spec.system == CT else arguments.first_seed
        cohort = f"reserved phantoms (seeds from {first_seed}, misaligned by up to 3 mm)"
        known = bundle.calibration
        assert known is not None and known.familiarity is not None
        metrics = [
            *calibration_metrics(bundle, known, own, cohort),
            *unlike_metrics(known.familiarity, own, others, cohort),
        ]
        figures[model] = metrics
        if arguments.record:
            record_metrics(bundle, metrics)
    show(figures)
    content = {name: [metric.model_dump() for metric in metrics] for name, metrics in figures.items()}
    (arguments.out / "figures.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
