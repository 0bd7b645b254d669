"""How three vendors' scanners and their users name what a liver examination consists of.

Headers follow the vendors' DICOM conformance statements in structure and files in public repositories in
wording; they are those of no particular scanner. Series descriptions are of the kind that sites type in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Vendor = Literal["siemens", "ge", "philips"]
Kind = Literal["tse", "haste", "epi", "gre", "dixon", "dual echo"]
"""Pulse sequence family: fast spin echo, its single-shot form, echo planar, spoiled 3D gradient echo,
the same with two echoes for water–fat separation, spoiled 2D gradient echo with two echoes."""

ECHO_TRAIN: Mapping[Kind, int] = {"tse": 15, "haste": 192, "epi": 96}
"""Echoes after one excitation; one for the others."""


@dataclass(frozen=True)
class Technique:
    """Attributes of the MR Image module (DICOM PS3.3 C.8.3.1) that tell the pulse sequence.

    Attributes
    ----------
    scanning_sequence, sequence_variant, scan_options
        (0018,0020), (0018,0021), (0018,0022).
    sequence_name
        Siemens and others: SequenceName (0018,0024); GE: the pulse sequence's private name; Philips: the
        private scanning technique.
    """

    scanning_sequence: tuple[str, ...]
    sequence_variant: tuple[str, ...]
    scan_options: tuple[str, ...]
    sequence_name: str


@dataclass(frozen=True)
class Part:
    """One stack of images of the examination, as a vendor calls it.

    Attributes
    ----------
    description
        SeriesDescription; ``{b}`` stands for the b-values.
    protocol
        ProtocolName.
    kind
        Pulse sequence family.
    image_type
        ImageType.
    fat_suppressed
        Whether the fat-suppression option of `Style` is set.
    """

    description: str
    protocol: str
    kind: Kind
    image_type: tuple[str, ...]
    fat_suppressed: bool = False


@dataclass(frozen=True)
class Style:
    """A vendor: equipment, pulse sequences and names.

    Attributes
    ----------
    manufacturer, models, software, station
        Equipment; the model depends on the field strength in T.
    techniques
        By family.
    parts
        By part: sequence names of :mod:`LiverLesionAI.sequences`, ``"dynamic"`` for several phases in one
        series, and what else a hospital delivers.
    fat_option
        Value of ScanOptions that means fat suppression.
    flip_deg
        Flip angle of spin-echo sequences, degrees; gradient echoes have the phantom's own.
    dixon_series
        Which of the in-phase, opposed-phase, water and fat images arrive in one series.
    head_first
        Whether instance numbers count from the head downwards.
    implicit_vr
        Whether files are written in Implicit VR Little Endian.
    """

    manufacturer: str
    models: Mapping[float, str]
    software: str
    station: str
    techniques: Mapping[Kind, Technique]
    parts: Mapping[str, Part]
    fat_option: str
    flip_deg: float
    dixon_series: tuple[tuple[str, ...], ...]
    head_first: bool = False
    implicit_vr: bool = False


_NORM = ("NORM", "DIS2D")
_SIEMENS_M = ("ORIGINAL", "PRIMARY", "M", *_NORM)


def _vibe(suffix: str) -> Part:
    name = f"t1_vibe_fs_tra_bh_{suffix}"
    return Part(name, name, "gre", _SIEMENS_M, True)


def _siemens_dixon(suffix: str, *image_type: str) -> Part:
    name = "t1_vibe_dixon_tra_bh"
    return Part(f"{name}_{suffix}", name, "dixon", (*image_type, *_NORM))


SIEMENS = Style(
    manufacturer="SIEMENS",
    models={1.5: "Aera", 3.0: "Skyra"},
    software="syngo MR E11",
    station="MRC00001",
    techniques={
        "tse": Technique(("SE",), ("SK", "SP", "OSP"), ("PFP",), "*tse2d1_15"),
        "haste": Technique(("SE",), ("SK", "SP", "OSP"), ("PFP",), "*h2d1_192"),
        "epi": Technique(("EP",), ("SK", "SP"), ("PFP",), "*ep_b{b}t"),
        "gre": Technique(("GR",), ("SP", "OSP"), ("PFP",), "*fl3d1"),
        "dixon": Technique(("GR",), ("SP", "OSP"), ("PFP",), "*fl3d2"),
    },
    parts={
        "localiser": Part("localizer", "localizer", "haste", _SIEMENS_M),
        "coronal": Part("t2_haste_cor_bh", "t2_haste_cor_bh", "haste", _SIEMENS_M),
        "MRCP": Part("t2_haste_cor_thick_slab_MRCP", "t2_haste_cor_thick_slab_MRCP", "haste", _SIEMENS_M),
        "T2WI": Part("t2_tse_fs_tra_p2_mbh", "t2_tse_fs_tra_p2_mbh", "tse", _SIEMENS_M, True),
        "DWI": Part(
            "ep2d_diff_b{b}_tra_p2_TRACEW",
            "ep2d_diff_b{b}_tra_p2",
            "epi",
            ("ORIGINAL", "PRIMARY", "DIFFUSION", "TRACEW", *_NORM),
            True,
        ),
        "ADC": Part(
            "ep2d_diff_b{b}_tra_p2_ADC",
            "ep2d_diff_b{b}_tra_p2",
            "epi",
            ("DERIVED", "PRIMARY", "DIFFUSION", "ADC", *_NORM),
            True,
        ),
        "INPHASE": _siemens_dixon("in", "ORIGINAL", "PRIMARY", "M", "IN_PHASE"),
        "OUTPHASE": _siemens_dixon("opp", "ORIGINAL", "PRIMARY", "M", "OPP_PHASE"),
        "water": _siemens_dixon("W", "DERIVED", "PRIMARY", "M", "DIXON", "WATER"),
        "fat": _siemens_dixon("F", "DERIVED", "PRIMARY", "M", "DIXON", "FAT"),
        "T1WI": _vibe("pre"),
        "LAP": _vibe("art"),
        "PVP": _vibe("ven"),
        "DP": _vibe("delay"),
        "HBP": _vibe("20min"),
        "dynamic": _vibe("dyn"),
        "subtraction": Part(
            "t1_vibe_fs_tra_bh_art_SUB",
            "t1_vibe_fs_tra_bh_art",
            "gre",
            ("DERIVED", "PRIMARY", "M", *_NORM, "SUB"),
            True,
        ),
        "MPR": Part(
            "t1_vibe_fs_tra_bh_ven_MPR_cor",
            "t1_vibe_fs_tra_bh_ven",
            "gre",
            ("DERIVED", "SECONDARY", "MPR", "CSA MPR", "", "CSAPARALLEL"),
            True,
        ),
    },
    fat_option="FS",
    flip_deg=150.0,
    dixon_series=(("INPHASE",), ("OUTPHASE",), ("water",), ("fat",)),
)

_GE = ("ORIGINAL", "PRIMARY", "OTHER")


def _lava(name: str) -> Part:
    return Part(name, "Liver", "gre", _GE, True)


def _ge_dixon(name: str, *image_type: str) -> Part:
    return Part(f"{name}: BH Ax LAVA-Flex", "Liver", "dixon", image_type)


GE = Style(
    manufacturer="GE MEDICAL SYSTEMS",
    models={1.5: "Optima MR450w", 3.0: "DISCOVERY MR750"},
    software="25\\LX\\MR Software release:DV25.0",
    station="GEMR01",
    techniques={
        "tse": Technique(("SE",), ("SK",), ("FAST_GEMS", "EDR_GEMS", "TRF_GEMS", "RG_GEMS"), "frfse"),
        "haste": Technique(("SE",), ("SK", "SS"), ("FAST_GEMS", "EDR_GEMS", "PFF"), "ssfse"),
        "epi": Technique(("EP", "SE"), ("NONE",), ("EDR_GEMS", "EPI_GEMS", "ACC_GEMS", "PFF"), "epi2"),
        "gre": Technique(("GR",), ("SS", "SP", "SK"), ("FAST_GEMS", "EDR_GEMS", "PFF", "PFP"), "efgre3d"),
        "dixon": Technique(("GR",), ("SS", "SP", "SK"), ("FAST_GEMS", "EDR_GEMS", "PFF"), "lavaflex"),
        "dual echo": Technique(("GR",), ("SS", "SP"), ("FAST_GEMS", "EDR_GEMS"), "fgre"),
    },
    parts={
        "localiser": Part("3pl loc ssfse", "Liver", "haste", _GE),
        "coronal": Part("Cor T2 SSFSE RTr", "Liver", "haste", _GE),
        "MRCP": Part("Cor thick slab MRCP", "Liver", "haste", _GE),
        "T2WI": Part("Ax T2 FRFSE FS RTr", "Liver", "tse", _GE, True),
        "DWI": Part("Ax DWI b={b}", "Liver", "epi", _GE, True),
        "ADC": Part("ADC (10^-6 mm2/s): Ax DWI", "Liver", "epi", ("DERIVED", "SECONDARY", "ADC"), True),
        "INPHASE": Part("Ax T1 In/Out Phase BH", "Liver", "dual echo", _GE),
        "OUTPHASE": Part("Ax T1 In/Out Phase BH", "Liver", "dual echo", _GE),
        "water": _ge_dixon("WATER", "DERIVED", "PRIMARY", "DIXON", "WATER"),
        "fat": _ge_dixon("FAT", "DERIVED", "PRIMARY", "DIXON", "FAT"),
        "T1WI": _lava("Ax LAVA BH Mask"),
        "LAP": _lava("Ax LAVA BH +C Art"),
        "PVP": _lava("Ax LAVA BH +C Portal"),
        "DP": _lava("Ax LAVA BH +C Delay"),
        "HBP": _lava("Ax LAVA BH 20 min HBP"),
        "dynamic": _lava("Ax LAVA-XV BH MultiPhase"),
        "subtraction": Part(
            "SUB: Ax LAVA BH +C Art", "Liver", "gre", ("DERIVED", "PRIMARY", "OTHER", "SUBTRACT"), True
        ),
        "MPR": Part(
            "Cor Reformat LAVA", "Liver", "gre", ("DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"), True
        ),
    },
    fat_option="FS",
    flip_deg=111.0,
    dixon_series=(("OUTPHASE", "INPHASE"), ("water",), ("fat",)),
    head_first=True,
    implicit_vr=True,
)

_M_SE = ("ORIGINAL", "PRIMARY", "M_SE", "M", "SE")
_M_FFE = ("ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE")


def _thrive(suffix: str) -> Part:
    name = f"eTHRIVE_BH_{suffix}"
    return Part(name, name, "gre", _M_FFE, True)


def _philips_dixon(letter: str) -> Part:
    image_type = ("ORIGINAL", "PRIMARY", f"{letter}_FFE", letter, "FFE")
    return Part("mDIXON_BH", "mDIXON_BH", "dixon", image_type)


PHILIPS = Style(
    manufacturer="Philips Medical Systems",
    models={1.5: "Ingenia", 3.0: "Ingenia"},
    software="5.3.1\\5.3.1.0",
    station="PHILIPS-MR1",
    techniques={
        "tse": Technique(("SE",), ("SK",), ("RG",), "TSE"),
        "haste": Technique(("SE",), ("SK",), ("PFF",), "TSE"),
        "epi": Technique(("SE",), ("SK",), ("PFP",), "DwiSE"),
        "gre": Technique(("GR",), ("SK", "SP"), ("PFP",), "T1TFE"),
        "dixon": Technique(("GR",), ("SP",), ("PFP",), "FFE"),
    },
    parts={
        "localiser": Part("Survey_BH", "Survey_BH", "haste", _M_SE),
        "coronal": Part("T2W_SSh_cor_BH", "T2W_SSh_cor_BH", "haste", _M_SE),
        "MRCP": Part("MRCP_rad_40mm", "MRCP_rad_40mm", "haste", _M_SE),
        "T2WI": Part("T2W_TSE_SPAIR_RT_tra", "T2W_TSE_SPAIR_RT_tra", "tse", _M_SE, True),
        "DWI": Part("DWI_b{b}_RT", "DWI_b{b}_RT", "epi", _M_SE, True),
        "ADC": Part(
            "dDWI_ADC",
            "DWI_b{b}_RT",
            "epi",
            ("ORIGINAL", "PRIMARY", "ADC_UNSPECIFIED", "ADC", "UNSPECIFIED"),
            True,
        ),
        "INPHASE": _philips_dixon("IP"),
        "OUTPHASE": _philips_dixon("OP"),
        "water": _philips_dixon("W"),
        "fat": _philips_dixon("F"),
        "T1WI": _thrive("pre"),
        "LAP": _thrive("art"),
        "PVP": _thrive("port"),
        "DP": _thrive("equilibrium"),
        "HBP": _thrive("20min"),
        "dynamic": _thrive("dyn"),
        "subtraction": Part(
            "SUB_eTHRIVE_BH_art",
            "eTHRIVE_BH_art",
            "gre",
            ("DERIVED", "PRIMARY", "SUBTRACTION", "M", "FFE"),
            True,
        ),
        "MPR": Part(
            "MPR_cor_eTHRIVE",
            "eTHRIVE_BH_port",
            "gre",
            ("DERIVED", "PRIMARY", "PROJECTION IMAGE", "M", "FFE"),
            True,
        ),
    },
    fat_option="FS",
    flip_deg=90.0,
    dixon_series=(("water", "INPHASE", "OUTPHASE", "fat"),),
)

STYLES: Mapping[Vendor, Style] = {"siemens": SIEMENS, "ge": GE, "philips": PHILIPS}
