"""Data that fits a JSON Schema, made up and open about it.

A place in the data is under several schemas at once: those behind `$ref` and `allOf`, the chosen alternative of
each `anyOf`. They are kept side by side rather than merged: whatever is asked of them (the types, the largest
`minimum`, what applies to a property) is asked of all. Each place proposes values, the likeliest first; `fitting`
checks them against the schemas as they were written, so a proposal may be wrong, and the next one is taken.

    filler      places to values
    places      the schemas of one place, side by side
    locations   where in the data that place is
    objects, arrays, strings (patterns, formats), numbers
                what is proposed, by type
    parts       what a schema says of properties and items
    documents   references, and how far each schema is from an end
    fitting     whether a value fits
"""
