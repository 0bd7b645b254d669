"""What identifies the images that a result was computed from."""

from __future__ import annotations

import hashlib

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.side_by_side import in_threads
from LiverLesionAI.study import SequenceImage, Study


def input_fingerprints(study: Study) -> dict[str, dict[str, str]]:
    """Identify each sequence and the lesion mask of a study.

    Returns
    -------
    dict
        Sequence, or ``"lesions"``, to ``{"series_uid": …}`` where it came from a DICOM series that has a UID,
        else to ``{"sha256": …}``, which does not depend on the file format.
    """
    images = {name: image.image for name, image in study.images.items() if not _series_uid(image)}
    if study.lesions is not None:
        images["lesions"] = study.lesions
    hashes = dict(zip(images, in_threads(image_sha256, list(images.values())), strict=True))
    named = {name: {"series_uid": uid} for name, image in study.images.items() if (uid := _series_uid(image))}
    return {
        name: named.get(name) or {"sha256": hashes[name]}
        for name in (*study.images, *(["lesions"] if study.lesions is not None else []))
    }


def _series_uid(image: SequenceImage) -> str:
    return (image.dicom.series_uid or "") if image.dicom is not None else ""


def image_sha256(image: sitk.Image) -> str:
    """SHA-256 of an image's geometry (to 0.001 mm, 1e-6 in direction), pixel type and voxels."""
    geometry = (
        image.GetSize(),
        [round(value, 3) + 0.0 for value in (*image.GetSpacing(), *image.GetOrigin())],
        [round(value, 6) + 0.0 for value in image.GetDirection()],
        image.GetPixelIDTypeAsString(),
    )
    digest = hashlib.sha256(repr(geometry).encode())
    digest.update(np.ascontiguousarray(sitk.GetArrayViewFromImage(image)).data)
    return digest.hexdigest()
