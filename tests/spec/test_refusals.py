"""Documents that are no good: one clear sentence, and openapi.yaml stays as it is."""

import random

import pytest
import yaml
from support.spec_documents import answer, batch, document, encoded, ref

from tools import spec
from tools.upstream import decoding, fetching


def without(path, method):
    def change(upstream):
        del upstream["paths"][path][method]

    return change


def referring_to(reference):
    def change(upstream):
        batch(upstream)["errors"] = {"$ref": reference}

    return change


def circle(upstream):
    schemas = upstream["components"]["schemas"]
    schemas["One"], schemas["Other"] = ref("Other"), ref("One")
    batch(upstream)["errors"] = ref("One")


def swagger(upstream):
    del upstream["openapi"]
    upstream["swagger"] = "2.0"


def no_paths(upstream):
    upstream["paths"] = []


def no_answer(upstream):
    upstream["paths"]["/batches"]["post"]["responses"] = {"200": {"description": "Nothing."}}


def no_fields(upstream):
    upstream["paths"]["/batches"]["post"]["responses"] = answer({"type": "object"})


def no_schema(upstream):
    upstream["components"]["schemas"]["Batch"] = "a batch"


def endless(keyword):
    def change(upstream):
        schemas = upstream["components"]["schemas"]
        for number in range(40):
            schemas[f"Level{number}"] = {keyword: [ref(f"Level{number + 1}")] * 2 + [{"type": "string"}]}
        schemas["Level40"] = {"type": "object", "properties": {"a": {"type": "string"}}}
        batch(upstream)["errors"] = ref("Level0")

    return change


def no_body(upstream):
    del upstream["paths"]["/batches"]["post"]["requestBody"]


CHANGES = [
    (without("/batches", "post"), "has no POST /batches (createBatch)"),
    (without("/batches", "get"), "has no GET /batches (listBatches)"),
    (without("/batches/{batch_id}", "get"), "has no GET /batches/{batch_id} (retrieveBatch)"),
    (without("/batches/{batch_id}/cancel", "post"), "has no POST /batches/{batch_id}/cancel (cancelBatch)"),
    (referring_to("#/components/schemas/Nothing"), "unresolved reference: #/components/schemas/Nothing"),
    (referring_to("other.yaml#/Batch"), "unresolved reference: other.yaml#/Batch"),
    (referring_to("#Batch"), "unresolved reference: #Batch"),
    (circle, "leads back to itself"),
    (swagger, "Swagger 2.0, not OpenAPI 3"),
    (no_paths, "has no POST /batches"),
    (no_answer, "does not say what POST /batches (createBatch) answers"),
    (no_fields, "does not say which fields POST /batches (createBatch)"),
    (no_schema, "has str where a schema belongs"),
    (endless("anyOf"), "without end"),
    (endless("allOf"), "without end"),
    (no_body, "does not say what POST /batches (createBatch) sends"),
]

LAUGHS = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10) if n else 'ha'}]\n" for n in range(100))
MERGES = "".join(
    f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9) if n else '{a: 1}'}]}}\n" for n in range(100)
)

TEXTS = {
    "empty": (b"", "not a mapping"),
    "half of JSON": (encoded(document())[:-1000], "not valid JSON"),
    "half of YAML": (yaml.safe_dump(document(), sort_keys=False).encode()[:3000], "cut off"),
    "a list": (b"- openapi\n", "not a mapping"),
    "HTML": (b"<html><body>Not found</body></html>\n", "not a mapping"),
    "words": (b"openapi: [oh: dear\n", "neither JSON nor YAML"),
    "two": (b"a: 1\n---\na: 2\n", "more than one YAML document"),
    "UTF-16": (encoded(document()).decode().encode("utf-16"), "not text in UTF-8"),
    "noise": (random.Random(0).randbytes(1_000_000), "not text in UTF-8"),
    "zeros": (bytes(1_000_000), "neither JSON nor YAML"),
    "nested JSON": (b'{"a":' * 100_000, "nested too deeply"),
    "nested YAML": (b"a: " + b"[" * 1_000_000, "nested too deeply"),
    "endless": (b"- a\n" * (decoding.MOST_EVENTS + 1), "too many parts"),
    "laughs": (LAUGHS.encode(), "not an OpenAPI 3 document"),
    "merges": (MERGES.encode(), "not an OpenAPI 3 document"),
    "a part of itself": (b"a: &a [*a]\n", "does not refer to a complete anchor"),
    "an alias of nothing": (b"a: *b\n", "does not refer to a complete anchor"),
    "a mapping for a key": (b"? {a: 1}\n: b\n", "for a key"),
    "too large": (b"x" * (fetching.LARGEST + 1), "larger than 32 MiB"),
}


@pytest.fixture
def refusal(tmp_path, capsys):
    """Run the command on some bytes; gives the sentence it refuses them with."""

    def refuse(data):
        (tmp_path / "upstream").write_bytes(data)
        output = tmp_path / "openapi.yaml"
        output.write_bytes(b"openapi: 3.1.0\n")
        code = spec.main(
            [
                str(tmp_path / "upstream"),
                "--output",
                str(output),
                "--overlay",
                str(tmp_path),
                "--tests",
                str(tmp_path),
            ]
        )
        assert output.read_bytes() == b"openapi: 3.1.0\n"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["openapi.yaml", "upstream"]
        said = capsys.readouterr()
        assert (code, said.out) == (spec.REFUSED, "")
        assert said.err.startswith("refused: ")
        assert len(said.err.splitlines()) == 1
        return said.err

    return refuse


@pytest.mark.parametrize(("change", "sentence"), CHANGES)
def test_a_document_that_lacks_something(change, sentence, refusal):
    upstream = document()
    change(upstream)
    assert sentence in refusal(encoded(upstream))


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_no_document(name, refusal):
    data, sentence = TEXTS[name]
    assert sentence in refusal(data)


def test_cut_off_after_the_batch_section(refusal):
    upstream = document()
    for number in range(10):
        upstream["components"]["schemas"][f"Lost{number}"] = {"properties": {"a": ref(f"Gone{number}")}}
    assert "cut off" in refusal(encoded(upstream))


def test_a_slip_elsewhere_is_none_of_ours(tmp_path):
    upstream = document()
    upstream["components"]["schemas"]["ChatRequest"] = {"properties": {"a": ref("Gone")}}
    (tmp_path / "upstream").write_bytes(encoded(upstream))
    arguments = [
        str(tmp_path / "upstream"),
        "--output",
        str(tmp_path / "new.yaml"),
        "--overlay",
        str(tmp_path),
    ]
    assert spec.main(arguments) == spec.CHANGED


@pytest.mark.parametrize(
    "source", ["nowhere.yaml", ".", "ftp://127.0.0.1/x", "http://127.0.0.1/openapi.json"]
)
def test_a_source_that_is_none(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert spec.main([source, "--output", str(tmp_path / "openapi.yaml")]) == spec.REFUSED
    assert source in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
