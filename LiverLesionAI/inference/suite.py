"""The models of a system ready to answer its questions together."""

from __future__ import annotations

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.bundles.suite import Suite
from LiverLesionAI.inference.classifier import Classifier
from LiverLesionAI.inference.engines import with_engine
from LiverLesionAI.inference.execution import Execution, resolve_execution
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import ModelSummary
from LiverLesionAI.systems import System


class SuiteClassifier:
    """The models of a system, each made ready when it is asked first.

    Parameters
    ----------
    suite
        The models.
    device, precision, engine, keep_loaded
        See :class:`~LiverLesionAI.inference.classifier.Classifier`.
    """

    def __init__(
        self,
        suite: Suite,
        *,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
        keep_loaded: bool = False,
    ) -> None:
        self.suite = suite
        self._device, self._precision, self._engine = device, precision, engine
        self._keep_loaded = keep_loaded
        self._execution = with_engine(resolve_execution(device, precision), engine, suite.bundles[0])
        self._classifiers: dict[str, Classifier] = {}

    @property
    def name(self) -> str:
        """Name, as in ``--model NAME``."""
        return self.suite.name

    @property
    def system(self) -> System:
        """What the models' paper does between a study and its answer."""
        return self.suite.system

    @property
    def summaries(self) -> tuple[ModelSummary, ...]:
        """What a result says about the models, where all of them answer."""
        return tuple(bundle.summary for bundle in self.suite.bundles)

    @property
    def execution(self) -> Execution:
        """What the models run on, as the one that was made last says."""
        last = next(reversed(self._classifiers.values()), None)
        return self._execution if last is None else last.execution

    def of(self, bundle: Bundle) -> Classifier:
        """The classifier of one of the models."""
        if bundle.name not in self._classifiers:
            self._classifiers[bundle.name] = Classifier(
                bundle,
                device=self._device,
                precision=self._precision,
                engine=self._engine,
                keep_loaded=self._keep_loaded,
            )
        return self._classifiers[bundle.name]

    def load(self, progress: Progress = silent) -> None:
        """Read the weights of all models into memory."""
        for done, bundle in enumerate(self.suite.bundles):
            progress("load", done / len(self.suite.bundles))
            self.of(bundle).load()
        progress("load", 1.0)

    def load_for_maps(self) -> None:
        """Load what maps of each model need; see :meth:`Classifier.load_for_maps`."""
        for bundle in self.suite.bundles:
            self.of(bundle).load_for_maps()


AnyClassifier = Classifier | SuiteClassifier


def classifier_of(
    model: Bundle | Suite,
    *,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
    keep_loaded: bool = False,
) -> AnyClassifier:
    """Make a model, or the models of a system, ready to classify.

    Parameters
    ----------
    model
        What :func:`LiverLesionAI.bundles.suite.open_model` opens.
    device, precision, engine, keep_loaded
        See :class:`~LiverLesionAI.inference.classifier.Classifier`.

    Raises
    ------
    ConfigError
        If device, precision or engine is not possible.
    """
    kind = SuiteClassifier if isinstance(model, Suite) else Classifier
    return kind(
        model,  # type: ignore[arg-type]
        device=device,
        precision=precision,
        engine=engine,
        keep_loaded=keep_loaded,
    )
