"""Slicer's scene: made, read, written, and its nodes found and removed."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from LiverLesionAI.errors import LiverLesionError, MemoryShortError, StudyError
from LiverLesionAI.limits import is_memory_short
from LiverLesionAI.mrml.scene_files import check_storage_files, unpack_scene, with_plain_name
from LiverLesionAI.written import (
    check_archive,
    check_scene_folder,
    is_compressed,
    refuse_odd_name,
    unwritable,
)

logger = logging.getLogger(__name__)

_UNCOMPRESSED_VOLUME = re.compile(rb'(<VolumeArchetypeStorage\b[^>]*?\buseCompression=")0(?=")')

Node = Any
"""A ``vtkMRMLNode``; a ``vtkMRMLScene`` where the parameter is called `scene`."""


def slicer_module() -> ModuleType:
    """Import ``slicer``.

    Raises
    ------
    LiverLesionError
        If neither Slicer nor slicer-core is there.
    """
    try:
        import slicer
    except ImportError as error:
        if is_memory_short(error):
            raise MemoryShortError(
                "There is not enough memory to load Slicer's libraries; close other programs."
            ) from None
        if not isinstance(error, ModuleNotFoundError):
            raise LiverLesionError(
                f"The package slicer-core is there but cannot be loaded ({error}); install it again."
            ) from None
        raise LiverLesionError(
            "Slicer scenes need the package slicer-core; install it with pip install 'liverlesionai[scene]'."
        ) from None
    return slicer


def has_slicer() -> bool:
    """True where Slicer or slicer-core is there, so that scenes can be made.

    Raises
    ------
    MemoryShortError
        If it is there and cannot be loaded for lack of memory.
    """
    try:
        slicer_module()
    except MemoryShortError:
        raise
    except LiverLesionError:
        return False
    return True


def in_slicer() -> bool:
    """True inside the Slicer application, False on slicer-core."""
    return hasattr(slicer_module(), "app")


def new_scene() -> Node:
    """Make an empty scene with Slicer's colour tables and radiological slice orientations."""
    slicer = slicer_module()
    _register_segment_conversions()
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    scene.RegisterNodeClass(slicer.vtkMRMLSegmentEditorNode())
    scene.RegisterNodeClass(slicer.vtkMRMLMarkupsJsonStorageNode())
    return scene


@cache
def _register_segment_conversions() -> None:
    """Let segments be converted between surfaces and label maps, as Slicer does when it starts."""
    slicer = slicer_module()
    if not in_slicer():
        slicer.vtkSlicerSegmentationsModuleLogic().SetMRMLScene(slicer.vtkMRMLScene())


def application_scene() -> Node:
    """Return the scene that Slicer shows; on slicer-core ``slicer.mrmlScene`` where set, else a new one."""
    return getattr(slicer_module(), "mrmlScene", None) or new_scene()


@contextmanager
def vtk_messages_logged() -> Iterator[None]:
    """Send what VTK would print to the log (level debug). Slicer does so by itself and is left alone."""
    if in_slicer():
        yield
        return
    from LiverLesionAI.mrml import vtk_classes as vtk

    previous, window = vtk.vtkOutputWindow.GetInstance(), vtk.vtkStringOutputWindow()
    verbosity = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkOutputWindow.SetInstance(window)
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    try:
        yield
    finally:
        vtk.vtkOutputWindow.SetInstance(previous)
        vtk.vtkLogger.SetStderrVerbosity(verbosity)
        for line in filter(None, window.GetOutput().splitlines()):
            logger.debug("vtk: %s", line)


def save_scene(scene: Node, path: Path) -> None:
    """Write a scene and its data into one ``.mrb`` file.

    Raises
    ------
    OutputError
        If a file cannot be written or does not come out whole.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, path.stem)
        folder.mkdir()
        save_scene_folder(scene, folder)
        pack_scene(folder, path)


def save_scene_folder(scene: Node, folder: Path) -> None:
    """Write a scene and its data into an empty folder, as :func:`pack_scene` wants it.

    Volumes are written uncompressed, which takes a twentieth of the time of a ``.mrb``.

    Raises
    ------
    OutputError
        If Slicer's writer fails or a file does not come out whole.
    """
    refuse_odd_name(folder)
    compressed = []
    for _piece in adding_storage(scene):
        pass
    for node in nodes_of(scene, "vtkMRMLVolumeNode"):
        storage = node.GetStorageNode()
        if storage is not None and storage.GetUseCompression():
            storage.SetUseCompression(0)
            compressed.append(storage)
    try:
        _write_folder(scene, folder)
    finally:
        for storage in compressed:
            storage.SetUseCompression(1)


def adding_storage(scene: Node) -> Iterator[None]:
    """Give volumes that have none a node that says how they are saved, one by one."""
    for node in nodes_of(scene, "vtkMRMLVolumeNode"):
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
            yield


def _write_folder(scene: Node, folder: Path) -> None:
    with vtk_messages_logged():
        written = scene.SaveSceneToSlicerDataBundleDirectory(folder.as_posix())
    if not written:
        raise unwritable(folder)
    check_scene_folder(folder)


def pack_scene(folder: Path, path: Path) -> None:
    """Pack the folder of a scene into one ``.mrb``; needs no Slicer.

    Volumes that Slicer wrote uncompressed are compressed, and the scene says so.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from LiverLesionAI.packing import packed_nrrd

    try:
        with zipfile.ZipFile(path, "w", compresslevel=1) as archive:
            for file in sorted(folder.rglob("*")):
                name = file.relative_to(folder.parent)
                if is_compressed(file):
                    archive.write(file, name, zipfile.ZIP_STORED)
                elif file.suffix == ".nrrd":
                    archive.writestr(name.as_posix(), packed_nrrd(file.read_bytes()), zipfile.ZIP_STORED)
                elif file.suffix == ".mrml":
                    text = _UNCOMPRESSED_VOLUME.sub(rb"\g<1>1", file.read_bytes())
                    archive.writestr(name.as_posix(), text, zipfile.ZIP_DEFLATED)
                else:
                    archive.write(file, name, zipfile.ZIP_DEFLATED)
    except (OSError, ValueError) as error:
        raise unwritable(path) from error
    check_archive(path)


def load_scene(path: Path) -> Node:
    """Read a ``.mrml`` or ``.mrb`` file into a new scene.

    Raises
    ------
    StudyError
        If the file is missing, is no scene, or lacks some of its data.
    MemoryShortError
        If it needs more memory or disk than there is.
    """
    if not path.is_file():
        raise StudyError(f"{path} does not exist; name a Slicer scene (.mrml or .mrb).")
    with tempfile.TemporaryDirectory() as folder, vtk_messages_logged():
        is_loose = path.suffix.lower() == ".mrml"
        try:
            file = with_plain_name(path, Path(folder)) if is_loose else unpack_scene(path, Path(folder))
            check_storage_files(file)
        except LiverLesionError as error:
            raise type(error)(str(error).replace(f"{folder}{os.sep}", "")) from None
        scene = new_scene()
        scene.SetURL(file.as_posix())
        if not scene.Import():
            raise StudyError(f"{path} cannot be read as a Slicer scene, or some of its data is missing.")
    return scene


def add_node(scene: Node, class_name: str, name: str) -> Node:
    """Add a node of a class; it gets that name even where another node has it too."""
    node = scene.AddNewNodeByClass(class_name)
    node.SetName(name)
    return node


def nodes_of(scene: Node, class_name: str) -> list[Node]:
    """All nodes of a class and its children, in the scene's order."""
    return [scene.GetNthNodeByClass(i, class_name) for i in range(scene.GetNumberOfNodesByClass(class_name))]


def parent_transforms(node: Node) -> list[Node]:
    """Transform nodes that a node lies under, the nearest first."""
    transforms, parent = [], node.GetParentTransformNode()
    while parent is not None:
        transforms.append(parent)
        parent = parent.GetParentTransformNode()
    return transforms


def remove_nodes(scene: Node, nodes: Iterable[Node]) -> None:
    """Remove nodes with their display nodes, storage nodes and places in the subject hierarchy.

    In Slicer the subject hierarchy follows the scene by itself. Slice views let go of the nodes first: they
    would else render for each one that goes.
    """
    nodes = list(nodes)
    take_out_of_views(scene, nodes)
    hierarchy = scene.GetSubjectHierarchyNode()
    for node in nodes:
        attached = [_nth(node, "Display", i) for i in range(_count(node, "Display"))]
        attached += [_nth(node, "Storage", i) for i in range(_count(node, "Storage"))]
        item = hierarchy.GetItemByDataNode(node) if hierarchy else 0
        if item and not in_slicer():
            hierarchy.RemoveItem(item, False, False)
        for each in (*filter(None, attached), node):
            scene.RemoveNode(each)


def take_out_of_views(scene: Node, nodes: Iterable[Node]) -> None:
    """Let slice views show nodes no more."""
    gone = {node.GetID() for node in nodes}
    for view in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
        for layer in ("Background", "Foreground", "Label"):
            if getattr(view, f"Get{layer}VolumeID")() in gone:
                getattr(view, f"Set{layer}VolumeID")(None)


def _count(node: Node, kind: str) -> int:
    counter = getattr(node, f"GetNumberOf{kind}Nodes", None)
    return counter() if counter else 0


def _nth(node: Node, kind: str, i: int) -> Node:
    return getattr(node, f"GetNth{kind}Node")(i)
