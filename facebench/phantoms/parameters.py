"""What a phantom is made of: tables of shape, surface and expression parameters, and the records they fill.

Lengths are millimetres in head space: x to the right of the image, y up, z towards the camera, y = 0 at the
pupils. Group loadings are set by hand. They make a test object with known differences; they are no statement
about people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Sex(StrEnum):
    """Which of the two shape populations an identity is drawn from."""

    FEMALE = "female"
    MALE = "male"


class Tone(StrEnum):
    """Band of the melanin parameter: light below 0.35, medium from 0.35 to below 0.65, dark from 0.65."""

    LIGHT = "light"
    MEDIUM = "medium"
    DARK = "dark"


class AgeBand(StrEnum):
    """Band of the age in years: young below 32, middle from 32 to below 50, older from 50."""

    YOUNG = "young"
    MIDDLE = "middle"
    OLDER = "older"


class Accessory(StrEnum):
    """What an image's subject may wear; `none` for nothing."""

    NONE = "none"
    GLASSES = "glasses"
    SUNGLASSES = "sunglasses"
    MASK = "mask"
    CAP = "cap"
    BEANIE = "beanie"
    SCARF = "scarf"


class HairStyle(StrEnum):
    """The twelve hair styles."""

    BALD = "bald"
    BUZZ = "buzz"
    SHORT = "short"
    CROP = "crop"
    SIDE = "side"
    FRINGE = "fringe"
    MEDIUM = "medium"
    LONG = "long"
    WAVY = "wavy"
    TIED = "tied"
    AFRO = "afro"
    CURLY = "curly"


MELANIN_RANGE = (0.02, 0.98)
AGE_RANGE = (19.0, 78.0)
TONE_EDGES = {Tone.LIGHT: (0.02, 0.35), Tone.MEDIUM: (0.35, 0.65), Tone.DARK: (0.65, 0.98)}
AGE_EDGES = {AgeBand.YOUNG: (19.0, 32.0), AgeBand.MIDDLE: (32.0, 50.0), AgeBand.OLDER: (50.0, 78.0)}


def tone_of(melanin: float) -> Tone:
    """Return the tone band of a melanin value.

    >>> tone_of(0.2).value
    'light'
    """
    if melanin < TONE_EDGES[Tone.MEDIUM][0]:
        return Tone.LIGHT
    return Tone.MEDIUM if melanin < TONE_EDGES[Tone.DARK][0] else Tone.DARK


def age_band_of(age: float) -> AgeBand:
    """Return the age band of an age in years.

    >>> age_band_of(50).value
    'older'
    """
    if age < AGE_EDGES[AgeBand.MIDDLE][0]:
        return AgeBand.YOUNG
    return AgeBand.MIDDLE if age < AGE_EDGES[AgeBand.OLDER][0] else AgeBand.OLDER


@dataclass(frozen=True)
class ShapeParameter:
    """One shape parameter: its distribution over identities and how the group attributes move it.

    value = mean + sd * z + male * s + melanin * (m - 0.45) + age * (years - 40) / 20 + build * b, clipped to
    [low, high]; s is about +1 for men and -1 for women, z and b are standard normal, m is the melanin.
    """

    name: str
    unit: str
    mean: float
    sd: float
    male: float = 0.0
    melanin: float = 0.0
    age: float = 0.0
    build: float = 0.0
    low: float = -np.inf
    high: float = np.inf


_S = ShapeParameter

# Parts of the face; `edits` swaps one part at a time. Levels, which move everything below them, are "layout".
SHAPE_BY_PART: dict[str, tuple[ShapeParameter, ...]] = {
    "head": (
        _S("face_width", "1", 1.0, 0.05, male=0.014, build=0.020, low=0.9, high=1.1),
        _S("forehead_width", "1", 1.0, 0.035, male=0.005),
        _S("crown_level", "mm", 120.0, 3.5, male=0.5),
        _S("hairline_level", "mm", 68.0, 7.0, male=2.0, age=1.5),
        _S("forehead_forward", "mm", 0.0, 3.5, male=-1.0),
        _S("mouth_forward", "mm", 0.0, 2.4, melanin=3.0, age=-1.0),
        _S("squareness", "1", 0.97, 0.06, male=-0.02, build=-0.03, low=0.80, high=1.12),
        _S("brow_ridge", "mm", 2.2, 1.1, male=1.5, age=0.3, low=0.0, high=6.5),
        _S("cheekbone", "mm", 3.0, 2.4, male=-0.2, age=-0.5, build=-0.5, low=-1.0, high=8.0),
        _S("eye_depth", "mm", 0.0, 2.0, male=0.8, melanin=-1.0, age=0.6),
        _S("socket_depth", "mm", 6.8, 1.5, male=0.4, melanin=-1.0, age=0.6, build=-0.4, low=4.0, high=11.0),
        _S("nasolabial", "mm", 0.7, 0.6, male=0.1, age=0.9, build=0.2, low=0.0, high=2.2),
        _S("philtrum", "mm", 0.9, 0.7, male=0.1, age=-0.2, low=0.0, high=2.2),
        _S("chin_sulcus", "mm", 1.8, 1.7, age=0.2, build=0.2),
        _S("temple_hollow", "mm", 1.2, 1.4, male=0.2, age=0.6, build=-0.4, low=0.0, high=4.0),
        _S("ear_size", "1", 0.90, 0.07, male=0.03, age=0.05),
        _S("ear_flare", "rad", 0.30, 0.11, male=0.03, low=0.08, high=0.6),
        _S("eye_asymmetry", "mm", 0.0, 0.7),
    ),
    "layout": (
        _S("mouth_level", "mm", -70.3, 3.7, male=-0.8, age=-0.8, low=-79.0, high=-62.0),
        _S("nose_level", "mm", -47.5, 3.7, male=-0.8, age=-1.0, low=-56.0, high=-39.5),
        _S("brow_level", "mm", 17.2, 3.0, male=-1.2, age=-0.8),
        _S("eye_separation", "mm", 31.3, 2.2, male=0.3, melanin=0.6),
    ),
    "jaw": (
        _S("jaw_width", "1", 1.0, 0.06, male=0.035, build=0.045, low=0.86, high=1.10),
        _S("chin_width", "1", 1.0, 0.11, male=0.05, build=0.03, low=0.75, high=1.3),
        _S("chin_level", "mm", -111.0, 5.0, male=-3.0, build=-1.0),
        _S("chin_forward", "mm", 0.0, 4.5, male=0.8, age=0.5),
        _S("gonial_flare", "mm", 1.5, 2.2, male=1.2, build=0.8, low=-2.5, high=4.5),
        _S("cheek_fat", "mm", 0.5, 3.0, male=-0.3, age=-0.6, build=2.2, low=-4.5, high=5.0),
        _S("cheek_hollow", "mm", 1.2, 1.7, male=0.2, age=1.0, build=-1.2, low=-1.0, high=6.0),
        _S("chin_boss", "mm", 2.5, 2.3, male=0.4, build=0.6),
        _S("chin_cleft", "mm", 0.0, 0.7, male=0.4, low=0.0, high=2.5),
        _S("chin_asymmetry", "mm", 0.0, 2.0),
    ),
    "eyes": (
        _S("eye_width", "mm", 14.8, 1.55, age=-0.4, low=11.8, high=18.2),
        _S("eye_upper", "mm", 4.9, 1.25, male=-0.5, age=-0.7, low=2.9, high=6.5),
        _S("eye_lower", "mm", 3.5, 0.8, male=-0.25, low=2.2, high=4.9),
        _S("eye_tilt", "deg", 3.0, 4.2, male=-0.8, melanin=1.0, age=-1.2),
        _S("crease_height", "mm", 3.4, 1.6, male=-0.5, age=-0.6, low=0.2, high=7.0),
        _S("crease_depth", "1", 1.0, 0.45, age=0.1, low=0.0, high=2.2),
        _S("lid_fullness", "mm", 0.8, 1.0, male=0.2, age=0.5, build=0.3, low=0.0, high=3.2),
        _S("lid_hood", "1", 0.15, 0.28, male=0.05, age=0.15, build=0.05, low=0.0, high=0.85),
        _S("eye_peak", "1", 0.0, 0.16),
        _S("epicanthus", "1", 0.15, 0.25, build=0.05, low=0.0, high=0.8),
        _S("lash", "1", 0.85, 0.25, male=-0.08, age=-0.05, low=0.3, high=1.3),
        _S("iris_radius", "mm", 5.9, 0.25),
        _S("eye_bag", "mm", 0.6, 0.6, male=0.1, age=0.6, build=0.1, low=0.0, high=2.0),
    ),
    "brows": (
        _S("brow_thickness", "mm", 6.0, 1.9, male=1.2, low=2.6, high=11.0),
        _S("brow_inner", "mm", 10.5, 3.0, male=-0.8, low=5.0, high=16.0),
        _S("brow_outer", "mm", 46.0, 2.6, male=0.3),
        _S("brow_arch", "mm", 3.0, 2.5, male=-1.2),
        _S("brow_slope", "mm", 1.0, 3.2, male=-1.2, age=-1.0),
        _S("brow_peak", "1", 0.62, 0.08),
        _S("brow_density", "1", 0.85, 0.13, male=0.08, age=-0.12, low=0.3, high=1.0),
        _S("brow_asymmetry", "mm", 0.0, 1.0),
    ),
    "nose": (
        _S("nose_width", "mm", 16.3, 2.8, male=0.8, melanin=5.0, age=0.6, build=0.4, low=12.5, high=22.0),
        _S("nose_projection", "mm", 21.0, 4.0, male=0.8, melanin=-4.0, age=0.6, low=13.0, high=27.0),
        _S("nose_root", "mm", 4.5, 1.9, male=0.6, melanin=-4.0, low=0.0, high=10.0),
        _S("nose_hump", "mm", 0.2, 2.0, male=0.5, melanin=-1.0, age=0.2),
        _S("bridge_width", "mm", 8.3, 1.6, male=0.3, melanin=1.5, build=0.2, low=6.0, high=11.5),
        _S("tip_width", "mm", 6.2, 1.7, male=0.3, melanin=1.0, age=0.3, build=0.2, low=4.0, high=11.0),
        _S("tip_depth", "mm", 2.2, 1.9, age=0.2, low=-0.5, high=7.0),
        _S("tip_rotation", "mm", 0.0, 2.1, male=-0.8, age=-1.2),
        _S("ala_depth", "mm", 6.5, 1.8, male=0.2, melanin=1.0),
        _S("tip_bifid", "mm", 0.0, 0.9),
        _S("nostril", "1", 1.0, 0.35, male=0.05, melanin=0.3),
        _S("nose_asymmetry", "mm", 0.0, 1.2),
    ),
    "mouth": (
        _S("mouth_width", "mm", 25.2, 3.2, male=0.6, melanin=1.0, age=0.2),
        _S("upper_lip", "mm", 7.0, 2.3, male=-0.5, melanin=5.0, age=-1.1, low=2.2, high=13.0),
        _S("lower_lip", "mm", 9.2, 2.3, male=-0.5, melanin=4.0, age=-1.0, low=3.5, high=15.0),
        _S("cupid_bow", "mm", 1.2, 0.9, male=-0.1, age=-0.2),
        _S("mouth_curve", "mm", 0.2, 1.5, age=-0.5),
        _S("upper_lip_pout", "mm", 2.8, 1.4, male=-0.2, melanin=2.0, age=-0.6),
        _S("lower_lip_pout", "mm", 3.4, 1.4, male=-0.2, melanin=2.0, age=-0.6),
        _S("mouth_asymmetry", "mm", 0.0, 0.8),
    ),
}
SHAPE: tuple[ShapeParameter, ...] = tuple(p for part in SHAPE_BY_PART.values() for p in part)

# Features that grow together: (group of parameters, gain of the shared standard-normal factor in each).
SHAPE_FACTORS: tuple[dict[str, float], ...] = (
    {"jaw_width": 0.025, "chin_width": 0.04, "face_width": 0.012},
    {"eye_upper": 0.35, "eye_lower": 0.25},
    {"upper_lip": 0.8, "lower_lip": 0.8},
    {"nose_width": 0.7, "tip_width": 0.5, "bridge_width": 0.4},
)

# Albedo, hair colour and marks. Pigments are dimensionless; colours are linear reflectances.
SURFACE: tuple[str, ...] = (
    "melanin", "haemoglobin", "yellow", "lip_redness", "lip_darkness",
    "hair_red", "hair_green", "hair_blue", "brow_tint",
    "iris_red", "iris_green", "iris_blue", "iris_inner_red", "iris_inner_green", "iris_inner_blue",
    "beard", "moustache", "stubble", "freckles", "mottling", "age", "makeup", "grey", "seed",
    "under_eye", "cheek_redness", "mole_count", "roughness",
)  # fmt: skip

# Amounts from 0 (neutral) to about 1; gaze is in radians.
EXPRESSION: tuple[str, ...] = (
    "smile", "jaw_open", "teeth", "brow_raise", "furrow", "blink", "squint", "gaze_x", "gaze_y", "lid_wide", "pucker",
)  # fmt: skip

SHAPE_DTYPE = np.dtype((np.record, [(parameter.name, np.float64) for parameter in SHAPE]))
SURFACE_DTYPE = np.dtype((np.record, [(name, np.float64) for name in SURFACE]))
EXPRESSION_DTYPE = np.dtype((np.record, [(name, np.float64) for name in EXPRESSION]))

BUMP_COUNT = 26
"""Private smooth displacements of an identity: rows of (x, y, width x, width y, height), all in mm."""


def empty(dtype: np.dtype[Any]) -> Any:
    """Return a record of `dtype` filled with zeros."""
    return np.zeros(1, dtype)[0]


def as_vector(record: Any) -> FloatArray:
    """Return a copy of a record's fields as a vector, in the order of its table."""
    return np.array(record.tolist(), dtype=np.float64)


@dataclass(frozen=True)
class Hair:
    """The hair an identity usually wears.

    `parting` is an angle (rad); `comb` is the lean of the strands (rad, 0 straight down); `recession`, `widows_peak`
    and `fringe_drop` are in mm; `length` is the level of the ends.
    """

    style: HairStyle
    parting: float
    thickness: float
    recession: float
    widows_peak: float
    comb: float
    length: float
    fringe_drop: float
    seed: int
    hairline_shift: float = 0.0


@dataclass(frozen=True)
class Groom:
    """How hair is worn in one image, around what the identity usually wears.

    `restyle` picks another style that the same hair allows when it lies below the share of such images; `seed` 0
    leaves the strands where they were.
    """

    restyle: float = 1.0
    thickness: float = 1.0
    comb: float = 0.0
    parting_side: float = 1.0
    length: float = 0.0
    hairline: float = 0.0
    fringe: float = 0.0
    brightness: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Subject:
    """One identity: everything that stays the same from image to image."""

    sex: Sex
    melanin: float
    age: float
    shape: Any
    bumps: FloatArray
    surface: Any
    hair: Hair

    @property
    def tone(self) -> Tone:
        """Tone band of the melanin."""
        return tone_of(self.melanin)

    @property
    def age_band(self) -> AgeBand:
        """Age band of the age."""
        return age_band_of(self.age)


@dataclass(frozen=True)
class Pose:
    """Head rotation in radians: yaw (positive turns to the right of the image), pitch, roll."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class Light:
    """A soft key light, a weaker fill from the other side, and an ambient hemisphere."""

    key_direction: tuple[float, float, float]
    key_colour: tuple[float, float, float]
    softness: float
    fill: float
    fill_azimuth: float
    ambient: tuple[float, float, float]
    ground: float


@dataclass(frozen=True)
class Development:
    """What camera and processing do to the picture after the light has been summed."""

    exposure: float = 1.0
    gamma: float = 1.0
    saturation: float = 1.0
    blur: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True)
class Glasses:
    """Lens centre, half-width, half-height (mm), corner exponent, rim (mm), drop (mm) and frame colour."""

    centre: float
    width: float
    height: float
    exponent: float
    rim: float
    drop: float
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Wear:
    """The accessory of one image. `colour` is that of the mask, hat or scarf."""

    kind: Accessory = Accessory.NONE
    glasses: Glasses | None = None
    colour: tuple[float, float, float] = (0.3, 0.3, 0.3)


@dataclass(frozen=True)
class Nuisance:
    """One image: everything that is not the identity."""

    pose: Pose
    expression: Any
    light: Light
    development: Development
    distance: float
    alignment_error: FloatArray
    background_seed: int
    cloth: tuple[float, float, float]
    groom: Groom = field(default_factory=Groom)
    wear: Wear = field(default_factory=Wear)
