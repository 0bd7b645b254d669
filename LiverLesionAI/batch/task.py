"""What a worker is given of a study, and what it gives back; small, and fit for JSON."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from LiverLesionAI.batch.settings import Outputs
from LiverLesionAI.results import StudyResult

INPUT, MEMORY, FAULT, CRASHED, TIME, LOST, DISK = "input", "memory", "fault", "crash", "time", "lost", "disk"
"""Why a study failed: it or the model cannot be used; memory did not suffice; a fault of the program; its
process ended; it took too long; its worker went away too often. Where the disk fails the batch stops."""

Status = Literal["done", "failed", "same"]


@dataclass(frozen=True)
class AskedModel:
    """A model to be asked.

    Attributes
    ----------
    model
        Name or folder.
    label
        Its name among the outputs.
    hashes
        Of its bundles; a worker that finds another model under this name refuses.
    known
        SHA-256 of the input that its answer stands for already; empty where it is to answer in any case.
    """

    model: str
    label: str
    hashes: tuple[str, ...]
    known: str = ""


@dataclass(frozen=True)
class StudyTask:
    """A study to be done.

    Attributes
    ----------
    study_id, patient
        As in the cohort.
    path, mask
        Where it is; `mask` is empty where it has its own.
    clinical
        Clinical data beside its own.
    folder
        Where its outputs go, a folder per model; empty where none are written.
    models
        Whom to ask.
    outputs
        What is written.
    parameters
        Of :attr:`LiverLesionAI.batch.settings.BatchOptions.parameters`.
    """

    study_id: str
    path: str
    mask: str
    folder: str
    models: tuple[AskedModel, ...]
    outputs: Outputs
    parameters: dict[str, Any]
    patient: str = ""
    clinical: dict[str, Any] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can say of it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StudyTask:
        """Read what :meth:`to_dict` returned, perhaps by way of JSON."""
        models = tuple(AskedModel(**{**each, "hashes": tuple(each["hashes"])}) for each in content["models"])
        return cls(**{**content, "models": models})


@dataclass(frozen=True)
class ModelAnswer:
    """What came of asking a model.

    Attributes
    ----------
    label
        Of the model.
    status
        ``"same"`` where the input is the one that its answer stands for already.
    kind, reason
        Why it failed; `reason` is a sentence and names the study by its id.
    packed
        Its result, compressed; :attr:`result` reads it.
    seconds
        How long each step took.
    """

    label: str
    status: Status
    kind: str = ""
    reason: str = ""
    packed: str = field(default="", repr=False)
    seconds: dict[str, float] = field(default_factory=dict)

    @cached_property
    def result(self) -> StudyResult | None:
        """The result; None where the model gave none, or gave it before."""
        return StudyResult.from_dict(unpack(base64.b64decode(self.packed))) if self.packed else None

    @property
    def blob(self) -> bytes:
        """The packed result as bytes."""
        return base64.b64decode(self.packed)


@dataclass(frozen=True)
class StudyAnswer:
    """What came of a study.

    Attributes
    ----------
    study_id
        As in the cohort.
    answers
        Of each model.
    input_sha256
        Of what the study was read from; empty where it was not read.
    seconds
        How long all of it took in the worker.
    """

    study_id: str
    answers: tuple[ModelAnswer, ...]
    input_sha256: str = ""
    seconds: float = 0.0

    @property
    def status(self) -> Status:
        """``"failed"`` where a model failed, else ``"done"``, or ``"same"`` where nothing was to be done."""
        found = {answer.status for answer in self.answers}
        return "failed" if "failed" in found else "done" if "done" in found else "same"

    @property
    def reason(self) -> str:
        """Why it failed, in sentences."""
        return " ".join(dict.fromkeys(answer.reason for answer in self.answers if answer.reason))

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of its failures."""
        return frozenset(answer.kind for answer in self.answers if answer.kind)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can say of it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StudyAnswer:
        """Read what :meth:`to_dict` returned, perhaps by way of JSON."""
        return cls(**{**content, "answers": tuple(ModelAnswer(**each) for each in content["answers"])})


def failed(task: StudyTask, kind: str, reason: str, seconds: float = 0.0) -> StudyAnswer:
    """The answer of a study that failed as a whole."""
    answers = tuple(ModelAnswer(each.label, "failed", kind, reason) for each in task.models)
    return StudyAnswer(task.study_id, answers, seconds=round(seconds, 3))


def pack(result: StudyResult) -> str:
    """Return a result in letters, compressed."""
    text = json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode())).decode()


def unpack(blob: bytes) -> dict[str, Any]:
    """Return the content of a packed result."""
    content: dict[str, Any] = json.loads(zlib.decompress(blob))
    return content


def result_sha256(content: Mapping[str, Any]) -> str:
    """SHA-256 of what a result says, whenever and however long it was computed."""
    provenance = {k: v for k, v in content["provenance"].items() if k not in ("started", "seconds")}
    said = json.dumps({**content, "provenance": provenance}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()
