"""JSON Schemas that certainly have data: each is written around a witness, of which every keyword of it is true."""

import string

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

names = st.text("abcdeé_$ ", max_size=4)
numbers = st.one_of(
    st.integers(-(10**6), 10**6),
    st.integers(-(10**20), 10**20),
    st.decimals(-1000, 1000, places=2).map(float),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8))
witnesses = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def kind(value):
    return {
        type(None): "null",
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "string",
        list: "array",
        dict: "object",
    }[type(value)]


def some(draw, options):
    """Any of the keywords, with their values drawn."""
    return {name: draw(value) for name, value in options.items() if draw(st.booleans())}


def around_number(draw, value):
    low, high = st.integers(0, 50).map(lambda by: value - by), st.integers(0, 50).map(lambda by: value + by)
    options = {
        "minimum": low,
        "maximum": high,
        "exclusiveMinimum": st.integers(1, 50).map(lambda by: value - by),
        "exclusiveMaximum": st.integers(1, 50).map(lambda by: value + by),
    }
    schema = {
        name: bound for name, bound in some(draw, options).items() if bound != value or "ex" not in name
    }
    if isinstance(value, int) and draw(st.booleans()):
        schema["multipleOf"] = draw(
            st.sampled_from([step for step in (1, 2, 3, 5, 7, 0.5) if value % step == 0])
        )
    return schema


def around_text(draw, value):
    length = len(value)
    options = {
        "minLength": st.integers(0, length),
        "maxLength": st.integers(length, length + 20),
        "pattern": st.just(pattern_of(draw, value)),
    }
    return some(draw, options)


def pattern_of(draw, value):
    """An expression that is anchored or not, in which each character of the text is itself or one of a class."""
    if not value or not all(each in string.ascii_letters + string.digits for each in value):
        return "^"
    parts = []
    for each in value:
        of_class = r"\d" if each in string.digits else "[A-Z]" if each in string.ascii_uppercase else "[a-z]"
        parts.append(
            draw(st.sampled_from([each, of_class, r"\w", f"(?:{each}|x)", f"{of_class}{{1,3}}", "."]))
        )
    text = "".join(parts)
    return draw(st.sampled_from([f"^{text}$", text, f"^{text}", f"^({text}|x+)$", f"(?=^.*$){text}"]))


def around_array(draw, value, documents):
    schema = some(
        draw, {"minItems": st.integers(0, len(value)), "maxItems": st.integers(len(value), len(value) + 3)}
    )
    first = draw(st.integers(0, len(value)))
    if first and draw(st.booleans()):
        schema["prefixItems"] = [draw(around(each, documents)) for each in value[:first]]
        rest = value[first:]
        schema["items"] = {"anyOf": [draw(around(each, documents)) for each in rest]} if rest else False
    elif value:
        schema["items"] = {"anyOf": [draw(around(each, documents)) for each in value]}
    if value and draw(st.booleans()):
        schema["contains"] = {"type": kind(value[0])}
    return schema


def around_object(draw, value, documents):
    schema = some(
        draw,
        {
            "minProperties": st.integers(0, len(value)),
            "maxProperties": st.integers(len(value), len(value) + 3),
            "required": st.lists(st.sampled_from(sorted(value)), unique=True) if value else st.just([]),
        },
    )
    schema["properties"] = {name: draw(around(each, documents)) for name, each in value.items()}
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.sampled_from([False, True, {"type": "string"}]))
    return schema


@st.composite
def around(draw, value, documents):
    """A schema that `value` fits; what is referred to goes into `documents`."""
    form = draw(st.integers(0, 12))
    if form == 0:
        return {"enum": draw(st.permutations([value, *draw(st.lists(st.text(max_size=3), max_size=2))]))}
    if form == 1:
        return {"const": value}
    if form in {2, 3}:
        others = draw(st.lists(st.sampled_from([{"type": "null"}, {"type": "boolean"}, False]), max_size=2))
        return {"anyOf": draw(st.permutations([draw(around(value, documents)), *others]))}
    if form == 4:
        return {"allOf": [draw(around(value, documents)), draw(around(value, documents))]}
    if form == 5:
        name = f"d{len(documents)}"
        documents[name] = None
        documents[name] = draw(around(value, documents))
        return {"$ref": f"#/$defs/{name}"}
    if form == 6:
        other = next(each for each in ("null", "string") if each != kind(value))
        return {"oneOf": draw(st.permutations([{"allOf": [typed(draw, value, documents)]}, {"type": other}]))}
    return typed(draw, value, documents)


def typed(draw, value, documents):
    other = draw(st.sampled_from([None, None, "null", "boolean"]))
    schema = {"type": [kind(value), other] if other and other != kind(value) else kind(value)}
    if isinstance(value, dict):
        return schema | around_object(draw, value, documents)
    if isinstance(value, list):
        return schema | around_array(draw, value, documents)
    if isinstance(value, str):
        return schema | around_text(draw, value)
    if value is None or isinstance(value, bool):
        return schema
    return schema | around_number(draw, value)


@st.composite
def schemas(draw):
    documents = {}
    value = draw(witnesses)
    schema = draw(around(value, documents))
    if documents:
        schema = {**schema, "$defs": documents}
    Draft202012Validator(schema).validate(value)
    return schema
