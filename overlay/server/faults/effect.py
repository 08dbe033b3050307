"""What all effects have in common: they are values, and over HTTP an object tells its kind under `effect`."""

import msgspec


class EffectValue(msgspec.Struct, frozen=True, tag_field="effect", forbid_unknown_fields=True):
    """The base of every kind of effect."""
