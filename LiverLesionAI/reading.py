"""What readers decide about a lesion, having seen the model's answer.

Made and changed by :mod:`LiverLesionAI.decisions`.
"""

from __future__ import annotations

from dataclasses import dataclass

from LiverLesionAI.taxonomy import LesionClass, taxonomy_named


@dataclass(frozen=True)
class Decision:
    """What a reader says a lesion is, having seen the model's answer.

    Attributes
    ----------
    reader
        Name; empty where the reader gave none. Both names where two readers came to a consensus.
    taxonomy, diagnosis
        The class, and the taxonomy that it is one of.
    malignant
        Follows from the class; None where the class mixes both.
    model_class
        What the model had answered; the reader accepted it where it is the diagnosis, else overrode it.
    reason
        Why; never empty where the model was overridden or a consensus was found.
    time
        ISO 8601, UTC.
    """

    reader: str
    taxonomy: str
    diagnosis: str
    malignant: bool | None
    model_class: str
    reason: str
    time: str

    @property
    def is_accepted(self) -> bool:
        """Whether the reader agreed with the model."""
        return self.diagnosis == self.model_class

    @property
    def decided_class(self) -> LesionClass:
        """The class that was decided on, with its title, colour and code."""
        taxonomy = taxonomy_named(self.taxonomy)
        return taxonomy.classes[taxonomy.index(self.diagnosis)]


@dataclass(frozen=True)
class Reading:
    """What up to two readers decided about a lesion, and their consensus where they differed.

    Made and changed by :mod:`LiverLesionAI.decisions`.
    """

    decisions: tuple[Decision, ...]
    consensus: Decision | None = None

    def __post_init__(self) -> None:
        if not self.decisions:
            raise ValueError("a reading has at least one decision")

    @property
    def readers_differ(self) -> bool:
        """Whether two readers named different classes, whatever they agreed on since."""
        return len({decision.diagnosis for decision in self.decisions}) > 1

    @property
    def final(self) -> Decision | None:
        """What holds: the consensus, else what all readers said; None while they differ."""
        if self.consensus is not None:
            return self.consensus
        return None if self.readers_differ else self.decisions[0]
