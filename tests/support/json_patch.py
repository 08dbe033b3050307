"""JSON Patches, as far as the cases need them: add, replace and remove. RFC 6902."""

import copy


def patched(document, patch):
    """A copy of a document with a patch applied."""
    document = copy.deepcopy(document)
    for step in patch:
        *above, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
        node = document
        for part in above:
            node = node[int(part) if isinstance(node, list) else part]
        if step["op"] == "remove":
            del node[last]
        elif isinstance(node, list):
            node.insert(len(node) if last == "-" else int(last), step["value"])
        else:
            node[last] = step["value"]
    return document
