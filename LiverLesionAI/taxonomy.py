"""Class sets of the four source papers: names, order, colours, SNOMED CT codes, benign or malignant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from LiverLesionAI.errors import ConfigError


@dataclass(frozen=True)
class Code:
    """A coded concept (DICOM PS3.3 §8.8): value, coding scheme and meaning."""

    value: str
    meaning: str
    scheme: str = "SCT"


@dataclass(frozen=True)
class LesionClass:
    """One diagnosis.

    Attributes
    ----------
    name
        As in the papers; used in files.
    title
        For people.
    malignant
        None where the class mixes both.
    colour
        Display colour, sRGB in [0, 255]; the same in every view, figure and colour table.
    code
        SNOMED CT concept, None where no single concept fits.
    """

    name: str
    title: str
    malignant: bool | None
    colour: tuple[int, int, int]
    code: Code | None = None


@dataclass(frozen=True)
class Taxonomy:
    """An ordered set of classes; a class's index is its position.

    Attributes
    ----------
    name
        ``"W7"``, ``"Z7"``, ``"Z3"``, ``"Y5"``, ``"K2"`` or ``"binary"``.
    source
        The paper it comes from.
    classes
        In the order of the network's outputs.
    """

    name: str
    source: str
    classes: tuple[LesionClass, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(c.name for c in self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def index(self, name: str) -> int:
        """Position of a class.

        Raises
        ------
        ConfigError
            If the taxonomy has no class of that name.
        """
        if name not in self.names:
            known = ", ".join(self.names)
            raise ConfigError(f"Class {name!r} is not in taxonomy {self.name}; it has {known}.")
        return self.names.index(name)


CYST = LesionClass("cyst", "Cyst", False, (86, 180, 233), Code("85057007", "Cyst of liver"))
FNH = LesionClass(
    "FNH",
    "Focal nodular hyperplasia",
    False,
    (0, 158, 115),
    Code("278527001", "Focal nodular hyperplasia of liver"),
)
HAEMANGIOMA = LesionClass(
    "haemangioma", "Haemangioma", False, (0, 114, 178), Code("93469006", "Hemangioma of liver")
)
ABSCESS = LesionClass("abscess", "Abscess", False, (240, 228, 66), Code("27916005", "Abscess of liver"))
HCC = LesionClass(
    "HCC", "Hepatocellular carcinoma", True, (213, 94, 0), Code("109841003", "Hepatocellular carcinoma")
)
ICC = LesionClass(
    "ICC", "Intrahepatic cholangiocarcinoma", True, (204, 121, 167), Code("70179006", "Cholangiocarcinoma")
)
METASTASIS = LesionClass(
    "metastasis", "Metastasis", True, (146, 73, 0), Code("94381002", "Secondary malignant neoplasm of liver")
)
OTHER_BENIGN = LesionClass("other_benign", "Other benign nodule", False, (153, 221, 153))
OTHER_PRIMARY = LesionClass("other_primary", "Primary malignancy other than HCC", True, (190, 60, 130))
OTHER_MALIGNANT = LesionClass("other_malignant", "Malignancy other than classic HCC", True, (170, 70, 70))
INDETERMINATE = LesionClass("indeterminate", "Indeterminate or rare benign lesion", None, (153, 153, 153))
NO_HCC = LesionClass("no_HCC", "No HCC", None, (153, 153, 153))
BENIGN = LesionClass("benign", "Benign", False, (0, 158, 115), Code("30807003", "Benign"))
MALIGNANT = LesionClass("malignant", "Malignant", True, (213, 94, 0), Code("21594007", "Malignant"))

_WANG = "Wang et al. 2021, doi:10.1186/s13244-021-01117-z"
_ZHEN = "Zhen et al. 2020, doi:10.3389/fonc.2020.00680"
_YASAKA = "Yasaka et al. 2018, doi:10.1148/radiol.2017170706"
_KIM = "Kim et al. 2020"

TAXONOMIES: dict[str, Taxonomy] = {
    t.name: t
    for t in (
        Taxonomy("W7", _WANG, (CYST, FNH, HAEMANGIOMA, ABSCESS, HCC, ICC, METASTASIS)),
        Taxonomy("Z7", _ZHEN, (CYST, HAEMANGIOMA, FNH, OTHER_BENIGN, HCC, METASTASIS, OTHER_PRIMARY)),
        Taxonomy("Z3", _ZHEN, (HCC, METASTASIS, OTHER_PRIMARY)),
        Taxonomy("Y5", _YASAKA, (HCC, OTHER_MALIGNANT, INDETERMINATE, HAEMANGIOMA, CYST)),
        Taxonomy("K2", _KIM, (NO_HCC, HCC)),
        Taxonomy("binary", _WANG, (BENIGN, MALIGNANT)),
    )
}


def lesion_class(name: str) -> LesionClass | None:
    """The class of that name in any of the papers' taxonomies; None where there is none."""
    every = (each for taxonomy in TAXONOMIES.values() for each in taxonomy.classes)
    return next((each for each in every if each.name == name), None)


_OF_LESIONS = {"MR": ("W7", "Z7"), "CT": ("Y5",)}
"""Modality to the taxonomies that lesions on it are diagnosed by."""


def diagnoses_on(modality: Literal["MR", "CT"]) -> tuple[str, ...]:
    """Names of the classes that a lesion may have, in the order of its taxonomies.

    Examples
    --------
    >>> diagnoses_on("CT")[:2]
    ('HCC', 'other_malignant')
    """
    names = (name for each in _OF_LESIONS[modality] for name in TAXONOMIES[each].names)
    return tuple(dict.fromkeys(names))


def taxonomy_named(name: str) -> Taxonomy:
    """Look up a taxonomy.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    try:
        return TAXONOMIES[name]
    except KeyError:
        raise ConfigError(f"There is no taxonomy {name!r}; there are {', '.join(TAXONOMIES)}.") from None
