"""``SampleData``: modules offer their sources as they do in Slicer, tests press the buttons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import slicer

from desktop_harness.api import check_member


@dataclass
class SampleDataSource:
    """A source; as in Slicer, everything is kept in lists of one length."""

    sampleName: str
    uris: list[str]
    fileNames: list[str]
    nodeNames: list[str]
    thumbnailFileName: str | None
    customDownloader: Callable[[Any], Any] | None


class SampleDataLogic:
    """The part of Slicer's logic that modules call when the application has started."""

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Callable[[Any], Any] | None = None,
        thumbnailFileName: str | None = None,
        loadFileType: Any = "VolumeFile",
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: Any = None,
    ) -> None:
        """Add a source to ``slicer.modules.sampleDataSources``."""
        given = (uris, fileNames, nodeNames)
        fields = [[each] for each in given] if isinstance(uris, str) else given
        if len(set(map(len, fields))) != 1:
            raise ValueError("All fields of sample data source must have the same length")
        source = SampleDataSource(str(sampleName), *fields, thumbnailFileName, customDownloader)
        slicer.modules.sampleDataSources.setdefault(category, []).append(source)


def module() -> ModuleType:
    """Make ``SampleData``; every member is one of Slicer's."""
    made = ModuleType("SampleData")
    for member in (SampleDataSource, SampleDataLogic):
        check_member("SampleData", member.__name__)
        setattr(made, member.__name__, member)
    return made
