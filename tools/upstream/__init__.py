"""From any published document of the API to this project's ``openapi.yaml``.

A document goes through these modules::

    fetching     path or URL      → bytes, bounded in size and time
    decoding     bytes            → a tree of dicts and lists; nothing in it grows when it is read
    references   tree             → every `$ref` resolved, or refused
    slicing      tree             → the nine operations (listed in `operations`), wherever the document has them
    flattening   one schema       → without references, `allOf`, nulls and other spellings of the same thing
    naming       schemas          → components, under the names the present openapi.yaml has for their places
    roles        components       → lenient where answers reach, strict in what requests send
    keeping      components       → with what the overlay uses and the document no longer has
    wording      the slice        → with the descriptions of the present openapi.yaml
    changes      before and after → the report, with what breaks the promises of the overlay
    writing      the slice        → the same bytes for the same content

`assembling` runs the steps from `references` to `wording`; `canonical` is what an ``openapi.yaml`` looks like to
all of them; `promises` is what the overlay builds on, read from its source by `overlay_source`.

A document that fails on the way is refused with one sentence, and nothing is written.
"""
