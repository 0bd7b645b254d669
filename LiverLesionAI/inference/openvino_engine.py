"""OpenVINO in torch's place: graphs prepared once and kept on disk, inputs run through them one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from LiverLesionAI.bundles import Bundle, check_file
from LiverLesionAI.inference.engine import FEATURES, Ran, load_fold, probabilities
from LiverLesionAI.inference.execution import thread_count
from LiverLesionAI.inference.prepared import keep_graphs, kept_graphs
from LiverLesionAI.inference.slopes import MemberSlopes
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.networks.resnet3d_arrays import Member, holds_resnet3d, read_member
from LiverLesionAI.progress import Progress, silent

_PRECISIONS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """Answers with all members of a model; see :class:`LiverLesionAI.inference.engines.Engine`.

    Parameters
    ----------
    bundle
        The model.
    precision
        ``"fp32"`` or ``"bf16"``; heads run in float32.
    keep
        Keep all members in memory, and their graphs on disk, for later calls and processes.
    """

    def __init__(self, bundle: Bundle, precision: str, *, keep: bool) -> None:
        self._bundle, self._precision, self._keep = bundle, precision, keep
        joint = bundle.system.members_abreast(bundle.spec)
        members = range(bundle.member_count)
        self._parts = [members[first : first + joint] for first in members[::joint]]
        self._ready: dict[range, dict[str, Any]] = {}
        self._slopes: MemberSlopes | None = None
        self._read: dict[range, list[Member]] = {}

    def load(self, progress: Progress = silent) -> None:
        """Prepare the graphs of all members, as far as they are kept."""
        for done, members in enumerate(self._parts if self._keep else ()):
            progress("load", done / len(self._parts))
            self._requests(members)
        progress("load", 1.0)

    def run(self, inputs: Sequence[NetworkInput], progress: Progress = silent) -> list[Ran]:
        """Run inputs one by one; the answers of each member.

        Raises
        ------
        BundleError
            If weights are missing or damaged.
        """
        found: list[Ran] = []
        steps = len(self._parts) * len(inputs)
        for part, members in enumerate(self._parts):

            def done(number: int, before: int = part * len(inputs)) -> None:
                progress("classify", (before + number) / steps)

            found += self._part(members, inputs, done)
        return found

    def _part(self, members: range, inputs: Sequence[NetworkInput], done: Callable[[int], None]) -> list[Ran]:
        """Run inputs with members that are joint; their weights are let go unless they are kept."""
        requests, answers = self._requests(members), []
        for number, given in enumerate(inputs, start=1):
            answers.append(_answer(requests, given))
            done(number)
        return [_of_member(answers, position) for position in range(len(members))]

    def slopes(self) -> MemberSlopes | None:
        """What takes gradients of branches; see :class:`LiverLesionAI.inference.engines.Engine`."""
        spec = self._bundle.spec
        if self._slopes is None and holds_resnet3d(self._bundle.member_paths[0], spec.sequences):
            from LiverLesionAI.inference.openvino_slopes import BranchGraphs

            graphs = BranchGraphs(_PRECISIONS[self._precision], thread_count())
            self._slopes = MemberSlopes(self._parts, self._arrays, graphs, self._keep)
        return self._slopes

    def features(self, part: str, /, *arrays: np.ndarray) -> np.ndarray:
        """Run a part of all members; see :class:`LiverLesionAI.inference.engines.Engine`."""
        found = []
        for members in self._parts:
            request = self._requests(members)[part]
            found.append(np.stack([_seen(request, *each) for each in zip(*arrays, strict=True)], axis=1))
        return np.concatenate(found)

    def _requests(self, members: range) -> dict[str, Any]:
        """What runs the graphs of members that are joint, by name."""
        if members in self._ready:
            return self._ready[members]
        models = self._from_disk(members) if self._keep else {}
        models = models or self._from_weights(members)
        requests = {name: model.create_infer_request() for name, model in models.items()}
        if self._keep:
            self._ready[members] = requests
        return requests

    def _from_disk(self, members: range) -> dict[str, Any]:
        """Graphs as an earlier process kept them; empty where there are none that can be used.

        Weights are compared with their hashes, as they are where they are read.
        """
        from LiverLesionAI.inference.openvino_runtime import ov

        core = ov.Core()
        with ThreadPoolExecutor(max_workers=1) as beside:
            check = beside.submit(self._check_weights, members)
            try:
                found = {
                    name: core.import_model(content, "CPU", self._settings(name))
                    for name, content in kept_graphs(self._key(members)).items()
                }
            except RuntimeError:
                found = {}
            check.result()
        return found

    def _from_weights(self, members: range) -> dict[str, Any]:
        """Graphs built of weights, and kept for later processes."""
        from LiverLesionAI.inference.openvino_graph import graphs
        from LiverLesionAI.inference.openvino_runtime import ov

        core, bundle = ov.Core(), self._bundle
        image = next(iter(bundle.system.input_format(bundle.spec).values()))
        shape = (image["num_channels"], *image["spatial_shape"])
        built = graphs([load_fold(bundle, member) for member in members], shape)
        found = {name: core.compile_model(graph, "CPU", self._settings(name)) for name, graph in built}
        if self._keep:
            keep_graphs(
                self._key(members), {name: each.export_model().getvalue() for name, each in found.items()}
            )
        return found

    def _arrays(self, members: range) -> list[Member]:
        """The weights of members that are joint as arrays."""
        if members in self._read:
            return self._read[members]
        self._check_weights(members)
        bundle = self._bundle
        sequences, tasks = bundle.spec.sequences, bundle.spec.tasks
        leading = {name: [sequences.index(each) for each in task.fused] for name, task in tasks.items()}
        found = [read_member(bundle.member_paths[each], sequences, leading) for each in members]
        if self._keep:
            self._read[members] = found
        return found

    def _check_weights(self, members: range) -> None:
        for member in members:
            check_file(self._bundle, self._bundle.spec.members[member])

    def _key(self, members: range) -> str:
        from LiverLesionAI.inference.openvino_runtime import GRAPHS, ov

        return f"{self._bundle.sha256} {members} {self._precision} {GRAPHS} {ov.__version__}"

    def _settings(self, name: str) -> dict[str, Any]:
        """As many threads as torch would take, since other processes may want the same cores."""
        from LiverLesionAI.inference.openvino_runtime import HEADS

        return {
            "INFERENCE_PRECISION_HINT": "f32" if name == HEADS else _PRECISIONS[self._precision],
            "INFERENCE_NUM_THREADS": thread_count() or 0,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }


def _answer(requests: dict[str, Any], given: NetworkInput) -> dict[str, np.ndarray]:
    """Features and logits of an input by name, ``[members, …]``."""
    from LiverLesionAI.inference.openvino_runtime import HEADS

    images, present, *clinical = given.arrays()
    if FEATURES in requests:
        found = _seen(requests[FEATURES], images, present)
        beside = [np.broadcast_to(codes, (len(found), len(codes))) for codes in clinical]
        read = [np.concatenate([found, *beside], axis=1)]
    else:
        columns = {
            column: _seen(requests[name], images[column])
            for column, (name, there) in enumerate(zip(given.sequences, present, strict=True))
            if there
        }
        none = np.zeros_like(next(iter(columns.values())))
        stacked = np.stack([columns.get(column, none) for column in range(len(present))], axis=1)
        read = [stacked, present[None, :, None]]
    heads = requests[HEADS]
    heads.infer(read)
    return {
        name: _unless_broken(np.array(heads.get_tensor(name).data), read[0])
        for output in heads.model_outputs
        for name in output.get_names()
    }


def _seen(request: Any, image: np.ndarray, *present: np.ndarray) -> np.ndarray:
    """Features of an image, ``[members, …]``; of a slice with the sequences that it shows."""
    masks = [there[None, :, None, None].astype(np.float32) for there in present]
    request.infer([np.ascontiguousarray(image[None]), *masks])
    return _unless_broken(np.array(request.get_output_tensor(0).data), image)


def _unless_broken(found: np.ndarray, given: np.ndarray) -> np.ndarray:
    """What came of an array; not numbers where that holds what is none.

    OpenVINO's rectifier and pooling would make numbers of those.
    """
    return found if np.isfinite(given.sum()) else np.full_like(found, np.nan)


def _of_member(answers: Sequence[dict[str, np.ndarray]], member: int) -> Ran:
    found = {name: np.stack([answer[name][member] for answer in answers]) for name in answers[0]}
    features = found.pop(FEATURES)
    return Ran(
        {task: probabilities(each) for task, each in found.items()},
        features.reshape(len(features), -1),
    )
