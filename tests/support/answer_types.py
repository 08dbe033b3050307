"""Types of answers, as people write them: each can be held to the strict subset."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from dataclasses import dataclass, field
from typing import (
    Annotated,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)

import attrs
import msgspec
import pydantic

T = TypeVar("T")
UserId = NewType("UserId", int)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mood(enum.StrEnum):
    GOOD = "good"
    BAD = "bad"


@dataclass
class Review:
    """A review of a product."""

    friendly: bool
    topic: Literal["price", "quality", "service", "other"]


@dataclass
class Scalars:
    a: int
    b: float
    c: str
    d: bool


@dataclass
class Enums:
    color: Color
    level: Level
    mood: Mood
    other: Color | None


@dataclass
class Literals:
    a: Literal["x"]
    b: Literal[1, 2]
    c: Literal["x", None]  # noqa: PYI061 - as people write it
    d: Literal["x", 1]


@dataclass
class Optionals:
    a: str | None
    b: Optional[int] = None  # noqa: UP045 - as many write it
    c: list[str] | None = None


@dataclass
class Defaults:
    a: int = 3
    b: str = "x"
    c: list[int] = field(default_factory=list)


@dataclass
class Nested:
    review: Review
    more: list[Review]
    none: Review | None


@dataclass
class Deep:
    a: list[list[list[int]]]


@dataclass
class Sequences:
    a: tuple[int, ...]
    b: set[str]
    c: frozenset[int]


@dataclass
class Dates:
    when: dt.datetime
    day: dt.date
    hour: dt.time
    long: dt.timedelta
    several: list[dt.datetime]
    maybe: dt.datetime | None


@dataclass
class Odd:
    id: uuid.UUID
    price: decimal.Decimal
    data: bytes


@dataclass
class Node:
    name: str
    children: list[Node]


@dataclass
class Chain:
    value: int
    next: Chain | None = None


@dataclass
class Ping:
    pong: Pong | None


@dataclass
class Pong:
    ping: Ping | None


@dataclass
class Constrained:
    stars: Annotated[int, msgspec.Meta(ge=1, le=5, description="How many stars")]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=5)]
    tags: Annotated[list[str], msgspec.Meta(max_length=3)]


@dataclass
class Renamed:
    user: UserId


@dataclass
class Unions:
    a: int | str
    b: int | list[str] | None
    c: Union[bool, str]  # noqa: UP007 - as many write it


@dataclass
class Words:
    title: str
    description: str
    default: str
    type: str
    properties: str
    ü: str  # noqa: PLC2401 - a language other than English


@attrs.define
class AttrsReview:
    friendly: bool
    topics: list[str]


@attrs.frozen
class AttrsNested:
    first: AttrsReview
    second: AttrsReview | None = None


class Typed(TypedDict):
    friendly: bool
    note: str | None


class Partly(TypedDict):
    friendly: bool
    note: NotRequired[str]


class NestedTyped(TypedDict):
    items: list[Typed]


class StructReview(msgspec.Struct):
    friendly: bool
    topic: str = "other"


class FrozenStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    a: int
    b: str | None = None


class CamelStruct(msgspec.Struct, rename="camel"):
    is_friendly: bool
    main_topic: str


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    lives: int
    breed: str


class Pets(msgspec.Struct):
    one: Cat | Dog
    all: list[Cat | Dog]


class Tagged(msgspec.Struct, tag_field="kind", tag="tagged"):
    a: int


class Unset(msgspec.Struct):
    a: str | msgspec.UnsetType = msgspec.UNSET


class Pair(msgspec.Struct, Generic[T]):
    first: T
    second: T


class HoldsPairs(msgspec.Struct):
    numbers: Pair[int]
    texts: Pair[str]


class ModelReview(pydantic.BaseModel):
    """What a reader thinks."""

    friendly: bool
    topic: Literal["price", "quality"]
    note: str | None = None


class ModelFields(pydantic.BaseModel):
    stars: int = pydantic.Field(ge=1, le=5, description="How many stars")
    name: str = pydantic.Field(pattern="^[a-z]*$", max_length=4)
    main: ModelReview = pydantic.Field(description="The first one")
    color: Color = Color.RED


class ModelAlias(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)

    is_friendly: bool = pydantic.Field(alias="isFriendly")


class ModelDates(pydantic.BaseModel):
    when: dt.datetime
    day: dt.date
    id: uuid.UUID
    price: decimal.Decimal


class ModelCat(pydantic.BaseModel):
    lives: int
    kind: Literal["cat"]


class ModelDog(pydantic.BaseModel):
    lives: int
    kind: Literal["dog"]


class ModelPets(pydantic.BaseModel):
    pet: ModelCat | ModelDog = pydantic.Field(discriminator="kind")


class Apple(pydantic.BaseModel):
    name: str
    seeds: int


class Pear(pydantic.BaseModel):
    name: str
    shape: str


class ModelFruits(pydantic.BaseModel):
    fruits: list[Apple | Pear]


class ModelTree(pydantic.BaseModel):
    name: str
    children: list[ModelTree] = []


class StrictModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)

    day: dt.date
    many: int


class OpenModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    a: int


@dataclass
class HoldsModels:
    one: ModelReview
    all: list[ModelTree]


class ModelHoldsDataclass(pydantic.BaseModel):
    review: Review


class Place(NamedTuple):
    x: int
    y: int


OPEN_TO_ANY_VALUE = [
    *(
        Review,
        Scalars,
        Enums,
        Literals,
        Optionals,
        Defaults,
        Nested,
        Deep,
        Sequences,
        Dates,
        Node,
        Chain,
        Ping,
    ),
    *(
        Renamed,
        Unions,
        Words,
        AttrsReview,
        AttrsNested,
        Typed,
        Partly,
        NestedTyped,
        StructReview,
        FrozenStruct,
    ),
    *(CamelStruct, Cat, Pets, Tagged, Unset, ModelReview, ModelAlias, ModelPets, ModelFruits, ModelTree),
    *(StrictModel, OpenModel, ModelHoldsDataclass),
]
"""Those of which hypothesis can make values, of whatever their annotations allow."""
BOUND = [Odd, Constrained, HoldsPairs, Pair[int], ModelFields, ModelDates, HoldsModels]
ALL = [*OPEN_TO_ANY_VALUE, *BOUND]
