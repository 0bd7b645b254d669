"""What the words in series descriptions and protocol names mean.

Each row of :data:`WORDS` is a meaning and the patterns that say it: the vendors' names of their sequences
(Siemens, GE, Philips, Canon, United Imaging) and the habits of sites that write English, German, French,
Chinese or Japanese. Patterns are regular expressions on the description in lower case with every separator
replaced by one blank; Latin patterns match whole words, Chinese and Japanese ones match anywhere.

Sources: the vendors' acronym leaflets, and the descriptions listed with their origins in
``Testing/Python/data/series_vocabulary.csv``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Word:
    """A meaning and the patterns that say it."""

    meaning: str
    patterns: tuple[str, ...]


WORDS: tuple[Word, ...] = (
    # what is none of the sequences
    Word("localiser", (
        r"loc(ali[sz]er?s?)?\d*", r"3 ?(pl|plane|plan)s? ?(loc\w*)?", r"scouts?", r"survey", r"scano\w*",
        r"topo(gram)?", r"surview", r"scanogram", r"lokali\w*", r"übersicht", r"rep[eé]rage", r"mobiscan",
        r"fastview", r"aahead", r"定位\w*", r"位置決め",
    )),
    Word("timing", (
        r"care ?bolus", r"care ?bolus ?\w*", r"test ?bolus", r"bolus ?(track|trak)\w*", r"smart ?prep",
        r"fluoro ?trig\w*", r"mr ?fluoro\w*", r"monitoring", r"premonitoring", r"calibration",
        r"asset ?cal\w*", r"cal", r"ref ?scan", r"shim\w*", r"pause", r"laser\w*",
    )),
    Word("reformatted", (
        r"mpr\w*", r"mip\w*", r"minip", r"reformat\w*", r"curved", r"vrt?", r"3d ?render\w*", r"col",
        r"pjn", r"projection\w*", r"rekon\w*", r"重建", r"再構成",
    )),
    Word("subtracted", (
        r"s?sub(s|tr\w*)?\d*", r"subtraktion", r"soustraction", r"减影", r"剪影", r"サブトラクション",
        r"差分",
    )),
    Word("mrcp", (
        r"\w*mrcp\w*", r"thick ?slab", r"thk ?slab", r"thick ?sl(ices?|ab)?", r"cholangio\w*",
        r"bili\w*irm", r"hydro\w*", r"水成像", r"胰胆管\w*", r"胆管",
    )),
    Word("ssfp", (
        r"tru ?fi(sp)?\w*", r"trufi\w*", r"fiesta\w*", r"b ?ffe", r"b ?tfe", r"balanced", r"true ?ssfp",
        r"ssfp", r"btfe\w*",
    )),
    Word("susceptibility", (
        r"swi\w*", r"swan", r"swip", r"venobold", r"t2 ?star\w*", r"t2s", r"r2s", r"r2 ?star",
    )),
    Word("map", (
        r"\w*([tr][12]|b[01]) ?(star)? ?map\w*", r"molli\w*", r"shmolli", r"r2 ?map", r"t2 ?map",
        r"fat ?fraction", r"ff", r"pdff", r"iron", r"fatfrac\w*", r"(fat)?frac\w*", r"histo\w*",
        r"ideal ?iq ?(fat|r2)\w*", r"\w*mre", r"elasto\w*", r"stiff\w*", r"touch", r"q?flow",
        r"exponential\w*", r"eadc", r"exp ?adc", r"colfa", r"perfusion ?map\w*", r"ktrans", r"弹性\w*",
        r"elastographie",
    )),
    Word("angiography", (
        r"mra", r"tof", r"angio\w*", r"native ?trufi\w*", r"pc ?mra", r"inhance\w*", r"血管成像",
    )),
    Word("perfusion", (
        r"asl", r"3d ?asl", r"cerebral ?blood ?flow", r"cbf", r"灌注\w*",
    )),
    Word("quantitative", (
        r"quant\w*", r"q ?m?dixon", r"ideal ?iq", r"定量\w*",
    )),
    Word("spectroscopy", (
        r"mrs", r"press", r"svs", r"spectro\w*",
    )),
    Word("note", (
        r"kos?", r"key ?(images?|objects?)", r"screen ?(save|capture)\w*", r"phoenix\w*",
        r"patient ?protocol", r"dose ?report", r"protocol ?(page|summary)", r"summary",
        r"presentation ?state", r"default ?ps ?series", r"processed ?images", r"results?", r"report",
    )),
    Word("lung or bone", (
        r"lung\w*", r"bone", r"knochen", r"poumon", r"肺", r"骨",
    )),
    # contrast of the image
    Word("t2", (
        r"\w*t2(w|wi|weighted)?\d*", r"\w*t2tse\w*", r"haste\w*", r"ssfse\w*", r"ss ?fse\w*",
        r"ssh ?tse\w*", r"ss ?tse", r"uftse", r"sshtse", r"f?rfse\w*", r"e?t2w?", r"blade", r"f?blade\w*",
        r"multivane\w*", r"jet", r"fase( ?[23]d)?", r"t2压脂\w*", r"重t2",
    )),
    Word("long te fast spin echo", (
        r"propeller\w*", r"prop",
    )),
    Word("t1", (
        r"\w*t1(w|wi|weighted)?\d*", r"tfl", r"turbo ?flash", r"ffe", r"fspgr", r"spgr", r"flash\w*",
        r"fl[23]d\w*", r"dual ?(ffe|echo|fspgr)",
    )),
    Word("t1 volume", (
        r"\w*vibe\w*", r"\w*lava\w*", r"e ?thrive\w*", r"thrive\w*", r"\w*m?dixon\w*", r"fame",
        r"disco\w*", r"quick ?3d\w*", r"starvibe\w*", r"twist\w*", r"grasp\w*", r"4d ?thrive", r"tigre",
        r"ideal", r"flex", r"lava ?flex", r"wfi", r"fs ?3d ?t1\w*", r"3d ?(tfe|ffe|fspgr|gre)",
    )),
    Word("dwi", (
        r"\w*dwi\w*", r"(ep2d ?)?diff\w*", r"dw ?epi", r"dw", r"e?dwi\b", r"dti", r"tracew\w*", r"trace",
        r"resolve\w*", r"dwibs", r"focus ?dwi", r"difus\w*", r"diffusion\w*", r"zoomit", r"ivim",
        r"calc ?bval\w*", r"弥散\w*", r"扩散\w*", r"拡散\w*", r"(ax|tra)dif\w*",
    )),
    Word("computed b", (
        r"calc ?b ?val\w*", r"c ?dwi", r"calc\w* ?(b\d*|dwi)", r"(synth\w*|computed) ?(dwi|b ?\d*|bval\w*)",
    )),
    Word("adc", (
        r"\w*adc\w*", r"apparent ?diffusion\w*", r"表观扩散\w*", r"表观弥散\w*",
    )),
    Word("dixon", (
        r"\w*dixon\w*", r"ideal", r"lava ?flex", r"flex", r"wfi",
    )),
    Word("pd", (
        r"pd(w|wi)?", r"proton ?density", r"dp fs",
    )),
    # fat and water
    Word("in phase", (
        r"in ?phase", r"inphase", r"ip", r"in\d?", r"en ?phase", r"同相位?", r"同位相",
    )),
    Word("opposed phase", (
        r"(out|opp(osed?|osing)?|op) ?(of)? ?phase", r"outphase", r"oop", r"op", r"opp\d?", r"out",
        r"opposed", r"opp ?osition( de phase)?", r"gegenphase", r"hors ?phase", r"反相位?", r"去相位",
        r"逆位相",
    )),
    Word("both phases", (
        r"in ?(and|&|/|-|und|et)? ?(out|opp|op)( ?phase)?",
        r"(opp|out|op|dual) ?(and|&|/|-)? ?in( ?phase)?", r"inopp?", r"ip ?(and|&)? ?o?op",
        r"dual ?(ffe|echo|fspgr|gre|phase)", r"i ?o ?p", r"正反相位?", r"同反相位?", r"in ?oph", r"双回波",
    )),
    Word("water", (
        r"water", r"w", r"wasser", r"eau", r"水", r"水像",
    )),
    Word("fat", (
        r"fat(?! ?(quant|sat|sup|frac))", r"f", r"fett", r"graisse", r"脂", r"脂肪像", r"脂像",
    )),
    Word("fat suppressed", (
        r"fs", r"fat ?sat\w*", r"fatsat", r"spair\w*", r"spir\w*", r"stir\w*", r"fat ?sup\w*", r"we",
        r"sfs", r"tirm", r"proset", r"fettges\w*", r"fetts\w*", r"sat ?graisse", r"压脂", r"抑脂",
        r"脂肪抑制", r"aspir", r"special",
    )),
    # contrast agent
    Word("pre", (
        r"pre\d?", r"pr[eé] ?(contrast|gd|gad\w*|km|iv|inj\w*|dyn\w*)?", r"precontrast", r"nativ[e]?",
        r"unenhanced", r"non ?(contrast|enh\w*)", r"noncon\w*", r"without( ?contrast)?", r"plain",
        r"ohne( ?km)?", r"vor ?km", r"sans( ?(iv|inj\w*|gd|gado\w*|contraste))?", r"mask", r"basale?",
        r"c ?minus", r"平扫\w*", r"增强前", r"单纯", r"単純", r"造影前", r"nce", r"w ?o( ?c)?", r"wo",
    )),
    Word("enhanced", (
        r"post\d?\w*", r"\+ ?c", r"c\+?", r"ce", r"gd", r"gado\w*", r"gad", r"contrast", r"km", r"mit ?km",
        r"nach ?km", r"iv", r"inj\w*", r"apr[eè]s\w*", r"enhanced", r"增强\w*", r"造影(?!前)\w*", r"eob",
        r"primovist", r"eovist", r"dotarem", r"gadovist",
    )),
    Word("dynamic", (
        r"\d*dyn\w*", r"grasp\w*", r"\w*perfu\w*", r"ph?asen", r"fasen", r"multi ?phase", r"m ?ph\w*",
        r"dce\w*", r"动态\w*", r"ダイナミック", r"perfu\w*", r"tricks", r"4d",
    )),
    Word("early arterial", (
        r"early ?art\w*", r"fr[uü]h ?art\w*", r"art[eé]riel+e? ?pr[eé]coce", r"动脉早期", r"早期動脈相",
    )),
    Word("LAP", (
        r"late ?art\w*", r"spät ?art\w*", r"art", r"arts?\d?", r"art[eé]r\w*", r"hap", r"a ?phase", r"lap",
        r"triple ?art\w*", r"art ?ph\w*", r"arterielle?", r"动脉\w*", r"動脈\w*", r"ce ?a", r"c ?\+ ?a",
        r"multi ?art\w*",
    )),
    Word("PVP", (
        r"p ?v ?p?", r"port\w*", r"pven\w*", r"ven\w*", r"vein\w*", r"pvph?", r"v ?phase", r"veineux?",
        r"portov\w*", r"门脉\w*", r"门静脉\w*", r"静脉期", r"門脈\w*", r"门脉期", r"ce ?p", r"c ?\+ ?v",
    )),
    Word("DP", (
        r"del(ay\w*)?", r"dela[iy]\w*", r"eq(uil\w*)?", r"late(?! ?art)", r"tardi\w*",
        r"sp(ä|ae)t(?! ?art)\w*", r"gleichgewicht\w*", r"transit\w*", r"interstitial\w*", r"延迟\w*",
        r"延時\w*", r"平衡\w*", r"後期\w*", r"遅延\w*", r"移行\w*", r"ce ?d", r"c ?\+ ?delay", r"d ?phase",
    )),
    Word("HBP", (
        r"hbp\w*", r"hpb", r"hepatobil\w*", r"hepato ?bil\w*", r"hepatocyt\w*", r"hb ?phase",
        r"hep ?phase", r"hbs", r"leberspez\w*", r"hepatospez\w*", r"h[eé]patobiliaire",
        r"h[eé]pato ?sp\w*", r"肝胆\w*", r"肝特异\w*", r"肝細胞\w*", r"肝细胞\w*", r"肝胆道\w*",
    )),
    # plane
    Word("coronal", (
        r"cor\w*", r"fro(ntal\w*)?", r"冠状\w*", r"冠状断",
    )),
    Word("sagittal", (
        r"sag\w*", r"矢状\w*",
    )),
    # other bodies of words
    Word("liver agent", (
        r"eob\w*", r"primovist", r"eovist", r"gadoxet\w*", r"gd ?eob\w*", r"普美显", r"プリモビスト",
    )),
)  # fmt: skip

KIND_TITLES = {
    "water": "water",
    "fat": "fat",
    "in phase": "in phase",
    "opposed phase": "opposed phase",
    "adc": "ADC map",
    "dwi": "diffusion-weighted",
    "map": "map",
    "localiser": "localiser",
    "reformatted": "reformatted",
    "subtracted": "subtracted",
    "not magnitude": "phase or part of a complex image",
    "computed b": "computed b-value",
    "note": "picture of the screen",
    "derived": "derived",
    "": "",
}
"""What ImageType can say a slice is, and how it is called in messages."""

_IMAGE_TYPE_WORDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("localiser", frozenset({"LOCALIZER", "SCOUT"})),
    ("note", frozenset({"SCREEN SAVE", "SCREENSAVE", "DOSE_INFO", "REPORT"})),
    ("subtracted", frozenset({"SUBTRACTION", "SUBTRACTED", "SUBTRACT", "SUB", "DSUB", "MSUB"})),
    ("reformatted", frozenset({
        "MPR", "CSA MPR", "CSA MIP", "MIP", "MINIP", "REFORMATTED", "PROJECTION IMAGE", "PROJECTION",
        "MAX_IP", "MIN_IP", "CURVED", "3D RENDERING", "VOLREN", "CSA 3D EDITOR", "CPR", "THICKMPR",
    })),
    ("adc", frozenset({"ADC", "ADC_UNSPECIFIED", "APPARENT DIFFUSION COEFFICIENT"})),
    ("map", frozenset({
        "EADC", "EXP ADC", "FA", "COLFA", "TENSOR", "FAT_FRACTION", "FF", "PDFF", "R2_STAR", "R2STAR",
        "R2S", "R2* MAP", "T2_STAR", "T2STAR", "T2_STAR MAP", "T2 MAP", "T1 MAP", "T2STAR_MAP",
        "T2_STAR_MAP", "R2STAR_MAP", "FAT_FRACTION_MAP", "FF_MAP", "WAVE", "STIFFNESS", "SWI", "MNIP",
        "B0_MAP", "MAXIMUM", "MINIMUM", "STD_DEVIATION", "DIVISION", "MULTIPLICATION", "ADDITION",
    })),
    ("computed b", frozenset({
        "CALC_BVALUE", "CALC_BVAL", "COMPUTED_B_VALUE", "CDWI", "SYNTHETIC", "SYNTHETIC_B", "SYNTHETIC_DWI",
    })),
    ("in phase", frozenset({"IN_PHASE", "INPHASE", "IP", "IN PHASE"})),
    ("opposed phase", frozenset({
        "OPP_PHASE", "OUT_PHASE", "OUT_OF_PHASE", "OPPOSED_PHASE", "OP", "OPP PHASE", "OOP", "OUTPHASE",
    })),
    ("water", frozenset({"WATER", "W"})),
    ("fat", frozenset({"FAT", "F"})),
    ("not magnitude", frozenset({"P", "PHASE MAP", "PHASE", "R", "I", "REAL", "IMAGINARY", "PHASE_MAP"})),
    ("dwi", frozenset({"DIFFUSION", "TRACEW", "DIFFUSION_ANISO"})),
)  # fmt: skip

UNREADABLE = "\ufffd"
"""Stands in a name for what is in no known character set; such a name says nothing."""

_DERIVATIONS = {
    "113041": "adc",
    "113062": "subtracted",
    **dict.fromkeys(("113072", "113073", "113074", "113075", "113078", "113079"), "reformatted"),
    **dict.fromkeys(("113042", "113044", "113046", "113047", "113048", "113050", "129106"), "map"),
    **dict.fromkeys((str(code) for code in (*range(113051, 113062), *range(113063, 113072))), "map"),
}
"""Codes of DerivationCodeSequence (DICOM PS3.16, CID 7203 and annex D) and what they make of a slice."""

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_SEPARATORS = re.compile(r"[\s_\-./:;,()\[\]{}<>|*=\"'^~#@!?]+")
_MINUTES = re.compile(r"(?<![a-z\d.])(\d{1,3})(?:[.,]\d)? ?(?:min\w*|mn|m|分(?:钟|鐘)?|')(?![a-z\d])")
_SECONDS = re.compile(r"(?<![a-z\d.])(\d{2,3}) ?(?:s|sec\w*|sek\w*|秒)(?![a-z\d])")
_B_VALUES = re.compile(
    r"(?<![a-z])b(?:[ _=\-]?)(\d{1,4})(?:[ _]?t)?(?![a-z\d])((?:[ _,\-]+\d{2,4}(?![a-z\d]))*)"
)
_PHASE_NUMBER = re.compile(r"(?<![a-z\d])(?:ph|phase)[ _]?(\d{1,2})(?=[/ _:\-]|$)")


def kind_of_image_type(image_type: Iterable[str], component: str = "") -> str:
    """Return what ImageType (0008,0008) and ComplexImageComponent say: a key of :data:`KIND_TITLES`."""
    said = set(image_type)
    if component in ("PHASE", "REAL", "IMAGINARY"):
        return "not magnitude"
    return next((kind for kind, names in _IMAGE_TYPE_WORDS if names & said), "")


def kind_of_derivation(codes: Iterable[str]) -> str:
    """Return what the codes of DerivationCodeSequence (0008,9215) say: a key of :data:`KIND_TITLES`."""
    return next((_DERIVATIONS[code] for code in codes if code in _DERIVATIONS), "")


@dataclass(frozen=True)
class Reading:
    """What the words of a description say.

    Attributes
    ----------
    meanings
        Of :data:`WORDS`, with the word that said each.
    minutes, seconds
        Delays that are named.
    b_values
        B-values that are named.
    phase_number
        GE's ``Ph2/…``.
    unreadable
        Whether a part of it is in no known character set: then nothing is concluded from any of it, and its
        silence about something says nothing either.
    """

    meanings: dict[str, str]
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    b_values: tuple[int, ...] = ()
    phase_number: int | None = None
    unreadable: bool = False

    def says(self, *meanings: str) -> bool:
        """Whether any of the meanings is said."""
        return any(meaning in self.meanings for meaning in meanings)

    def word(self, *meanings: str) -> str:
        """The word that said the first of the meanings, for a reason."""
        return next(self.meanings[meaning] for meaning in meanings if meaning in self.meanings)


@lru_cache(maxsize=4096)
def read_words(said: str) -> Reading:
    """Return what a description or protocol name says.

    Examples
    --------
    >>> sorted(read_words("t1_vibe_fs_tra_bh_ART").meanings)
    ['LAP', 'fat suppressed', 't1', 't1 volume']
    """
    if UNREADABLE in said:
        return Reading({}, unreadable=True)
    raw, line = _plain(said), line_of(said)
    meanings = {word.meaning: found for word in WORDS if (found := _said(word, line))}
    return Reading(
        meanings=meanings,
        minutes=tuple(int(m) for m in _MINUTES.findall(line)),
        seconds=tuple(int(s) for s in _SECONDS.findall(line)),
        b_values=_named_b_values(raw),
        phase_number=next((int(n) for n in _PHASE_NUMBER.findall(raw)), None),
    )


def line_of(said: str) -> str:
    """Return a name in lower case, its words between single blanks."""
    spaced = re.sub(r"(in|out|opp)phase", r"\1 phase", _plain(said).replace("µ", "u"))
    spaced = re.sub(r"(?<![a-z])c-(?![a-z\d])", " c minus ", spaced)
    return f" {_SEPARATORS.sub(' ', spaced).strip()} "


def _plain(said: str) -> str:
    return unicodedata.normalize("NFKC", said).casefold()


@lru_cache(maxsize=512)
def _compiled(meaning: str) -> tuple[re.Pattern[str], ...]:
    patterns = next(word.patterns for word in WORDS if word.meaning == meaning)
    latin = "|".join(f"(?:{p})" for p in patterns if not _CJK.search(p))
    asian = "|".join(f"(?:{p})" for p in patterns if _CJK.search(p))
    compiled = []
    if latin:
        compiled.append(
            re.compile(rf"(?<=[ +\u3040-\u30ff\u3400-\u9fff])({latin})(?=[ +\u3040-\u30ff\u3400-\u9fff])")
        )
    if asian:
        compiled.append(re.compile(rf"({asian})"))
    return tuple(compiled)


def _said(word: Word, line: str) -> str:
    matches = (pattern.search(line) for pattern in _compiled(word.meaning))
    return next((match.group(1).strip() for match in matches if match), "")


def _named_b_values(raw: str) -> tuple[int, ...]:
    values: list[int] = []
    for first, more in _B_VALUES.findall(raw):
        values += [int(first), *(int(v) for v in re.findall(r"\d+", more))]
    return tuple(dict.fromkeys(value for value in values if value <= 5000))
