"""What identifies the images that a result was computed from."""

from __future__ import annotations

import hashlib

import SimpleITK as sitk

from LiverLesionAI.study import Study


def input_fingerprints(study: Study) -> dict[str, dict[str, str]]:
    """Identify each sequence and the lesion mask of a study.

    Returns
    -------
    dict
        Sequence, or ``"lesions"``, to ``{"series_uid": …}`` where it came from a DICOM series that has a UID,
        else to ``{"sha256": …}``, which does not depend on the file format.
    """
    found = {}
    for name, image in study.images.items():
        if image.dicom is not None and image.dicom.series_uid:
            found[name] = {"series_uid": image.dicom.series_uid}
        else:
            found[name] = {"sha256": image_sha256(image.image)}
    if study.lesions is not None:
        found["lesions"] = {"sha256": image_sha256(study.lesions)}
    return found


def image_sha256(image: sitk.Image) -> str:
    """SHA-256 of an image's geometry (to 0.001 mm, 1e-6 in direction), pixel type and voxels."""
    geometry = (
        image.GetSize(),
        [round(value, 3) + 0.0 for value in (*image.GetSpacing(), *image.GetOrigin())],
        [round(value, 6) + 0.0 for value in image.GetDirection()],
        image.GetPixelIDTypeAsString(),
    )
    digest = hashlib.sha256(repr(geometry).encode())
    digest.update(sitk.GetArrayViewFromImage(image).tobytes())
    return digest.hexdigest()
