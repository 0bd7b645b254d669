"""Models of one system that answer its questions together, asked by the system's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from LiverLesionAI.bundles.store import Bundle, list_bundles, load_bundle
from LiverLesionAI.errors import BundleError, ConfigError
from LiverLesionAI.study import Study
from LiverLesionAI.systems import System, system_named, system_names
from LiverLesionAI.systems.base import Question


@dataclass(frozen=True)
class Suite:
    """The models of a system that are at hand.

    Attributes
    ----------
    system
        It has :attr:`~LiverLesionAI.systems.base.System.questions`.
    bundles
        Its models.
    """

    system: System
    bundles: tuple[Bundle, ...]

    @property
    def name(self) -> str:
        """Name, as in ``--model NAME``."""
        return self.system.name

    @property
    def intended_use(self) -> str:
        """``"phantom"`` where one of the models was trained on phantoms, else ``"research"``."""
        uses = {bundle.intended_use for bundle in self.bundles}
        return "phantom" if "phantom" in uses else "research"

    @property
    def description(self) -> str:
        """What they are, and what they are for, in two sentences."""
        together = f"{len(self.bundles)} models that answer together"
        return f"{self.system.words.description[:-1]}: {together}. {self.bundles[0].metadata.intended_use}"

    @property
    def hashes(self) -> tuple[str, ...]:
        """Hash of each model: what changes when one of them does."""
        return tuple(bundle.sha256 for bundle in self.bundles)

    @property
    def reads_clinical(self) -> bool:
        """Whether one of the models reads clinical data beside images."""
        return any(bundle.reads_clinical for bundle in self.bundles)

    @property
    def sequences(self) -> tuple[str, ...]:
        """Every sequence that one of the models reads, in the system's order."""
        read = {name for bundle in self.bundles for name in bundle.spec.sequences}
        return tuple(sorted(read, key=self._position))

    def _position(self, sequence: str) -> int:
        own = self.system.sequences
        return own.index(sequence) if sequence in own else len(own)

    def chosen(self, question: Question, study: Study) -> tuple[Bundle | None, str]:
        """Choose the model that answers a question about a study.

        Parameters
        ----------
        question
            One of the system's.
        study
            The study.

        Returns
        -------
        bundle : Bundle or None
            None where no model fits.
        reason : str
            What speaks for it, or against each model, in words.

        Raises
        ------
        StudyError
            If clinical data are given that cannot be used.
        """
        asked = [bundle for bundle in self.bundles if question.task in bundle.spec.tasks]
        fits = {bundle.name: self.system.fit(bundle.spec, study) for bundle in asked}
        ranks = {name: fit.rank for name, fit in fits.items() if fit.rank is not None}
        if not ranks:
            against = "; ".join(f"{name}: {fit.reason}" for name, fit in fits.items())
            return None, against or "no model of it is at hand"
        best = max(asked, key=lambda bundle: ranks.get(bundle.name, (-1, -1)))
        return best, fits[best.name].reason


Model = Bundle | Suite
"""What can be asked: one model, or those of a system together."""


def open_model(path_or_name: str | Path) -> Model:
    """Open a bundle by its folder or name, or the models of a system by the system's name.

    Raises
    ------
    BundleError
        If there is neither.
    """
    suites = list_suites()
    if not Path(path_or_name).exists() and str(path_or_name) in suites:
        return suites[str(path_or_name)]
    try:
        return load_bundle(path_or_name, also=suites)
    except BundleError:
        asked_together = str(path_or_name) in _systems_with_questions()
        if not asked_together:
            raise
        raise BundleError(
            f"There is no model of system {path_or_name} at hand; add one with `liverlesionai models add`."
        ) from None


def models_at_hand(first: str) -> tuple[Model, ...]:
    """All that can be asked: the model of a name first, then systems by their names, then other models."""
    bundles = list_bundles()
    preferred = tuple(bundle for bundle in bundles if bundle.name == first)
    others = tuple(bundle for bundle in bundles if bundle.name != first)
    return (*preferred, *list_suites(bundles).values(), *others)


def list_suites(bundles: tuple[Bundle, ...] | None = None) -> Mapping[str, Suite]:
    """Systems that are asked by their names, of which models are at hand: name to its models."""
    bundles = list_bundles() if bundles is None else bundles
    found = {}
    for name in _systems_with_questions():
        own = tuple(bundle for bundle in bundles if bundle.spec.system == name)
        if own:
            found[name] = Suite(system_named(name), own)
    return found


def _systems_with_questions() -> list[str]:
    used = []
    for name in system_names():
        try:
            if system_named(name).questions:
                used.append(name)
        except ConfigError:
            continue
    return used
