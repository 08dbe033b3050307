"""Small changes to a document, each once a crash, a lie in the report, or an SDK that could not be imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.json_patch import patched
from support.spec_documents import document, encoded

from tools import generate, spec
from tools.spec import convert
from tools.upstream import promises
from tools.upstream.changes import compare, pending
from tools.upstream.decoding import decode
from tools.upstream.promises import Promises
from tools.upstream.refusal import Refused
from tools.upstream.uncarried import uncarried
from tools.upstream.writing import dump

PROJECT = Path(__file__).resolve().parents[2]
CASES = {each["case"]: each for each in json.loads(Path(__file__).with_name("patches.json").read_text())}
STATUSES = [
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
REFUSED = {
    "half a surrogate in a value": "half of a surrogate pair",
    "a field named d": "'d'",
    "a field named cls": "'cls'",
    "a field named to_dict": "'to_dict'",
    "a field named from_dict": "'from_dict'",
    "a field named additional_properties": "'additional_properties'",
    "a field named field_dict": "'field_dict'",
    "a query parameter named body": "'body'",
    "a field named <<": "'<<'",
}
REPORTED = {
    "a way to delete a batch": ["! operation DELETE /batches/{}  is not carried"],
    "completed is gone": [
        "- value   Batch.status  completed  kept in openapi.yaml until you decide",
        "BREAKING: used by overlay/",
    ],
    "the download is gone": ["- operation downloadFile", "BREAKING: used by overlay/operations/files.py"],
    "a required header with the path parameter's name": [
        "+ param   retrieveBatch.batch_id (header)  string, required",
        "BREAKING: must now be sent by",
    ],
    "a new optional field of a request": [
        "+ field   CreateBatchRequest.priority  integer; sent with extra_body={'priority': ...}"
    ],
    "another kind of token": [
        "! token   ApiKeyAuth  apiKey header api-key",
        "BREAKING: the token is sent as a bearer",
    ],
    "a name that forges a line of the report": [r"+ field   Batch.x\n+ field   Batch.fake  str  string"],
}


def base():
    upstream = document()
    upstream["components"]["schemas"]["Batch"]["properties"]["status"]["enum"] = list(STATUSES)
    upstream["components"]["securitySchemes"] = {"TheirKey": {"type": "http", "scheme": "bearer"}}
    return upstream


@pytest.fixture(scope="module")
def present():
    return convert(encoded(base()), {}, Promises())


@pytest.fixture(scope="module")
def promised(present):
    return promises.read(PROJECT / "overlay", present)


def ascii_of(upstream):
    return json.dumps(upstream, ensure_ascii=True).encode()


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_become_python_is_refused_by_name(case, present):
    with pytest.raises(Refused, match="has") as caught:
        convert(ascii_of(patched(base(), CASES[case]["patch"])), present, Promises())
    assert REFUSED[case] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", sorted(CASES.keys() - REFUSED.keys()))
def test_everything_else_is_taken_reported_and_written(case, present, promised):
    data = ascii_of(patched(base(), CASES[case]["patch"]))
    result = convert(data, present, promised)
    text = dump(result)
    assert dump(decode(text.encode())) == text
    report = [*compare(present, result, promised), *pending(result, promised), *uncarried(decode(data))]
    lines = "\n".join(map(str, report)).splitlines()
    for wanted in REPORTED.get(case, []):
        assert [line for line in lines if wanted in line], lines
    if case == "three thousand six hundred":
        assert lines == []


def test_every_case_is_here():
    assert len(CASES) == 21
    assert REFUSED.keys() | REPORTED.keys() <= CASES.keys()


@pytest.mark.parametrize(
    "case",
    [
        "bytes in an answer",
        "names that become one",
        "values that YAML 1.1 and 1.2 read differently",
        "any JSON, in itself",
    ],
)
def test_what_is_taken_runs(case, present, tmp_path):
    """The generator's own step reads and writes a sample of each model, or refuses."""
    result = convert(ascii_of(patched(base(), CASES[case]["patch"])), present, Promises())
    (tmp_path / "openapi.yaml").write_text(dump(result))
    for name in ("generator-config.yml", "tools"):
        (tmp_path / name).symlink_to(PROJECT / name)
    generate.generate(tmp_path / "generated", project=tmp_path)
    assert (tmp_path / "generated" / "models" / "batch.py").exists()


def test_what_does_not_run_is_no_success(present, tmp_path, monkeypatch):
    """A name that no list of ours has: the generator's output is tried, not trusted."""
    monkeypatch.setattr("tools.upstream.speakable._OF_MODELS", frozenset())
    result = convert(encoded(patched(base(), CASES["a field named d"]["patch"])), present, Promises())
    (tmp_path / "openapi.yaml").write_text(dump(result))
    for name in ("generator-config.yml", "tools"):
        (tmp_path / name).symlink_to(PROJECT / name)
    with pytest.raises(generate.GenerateError, match="does not run"):
        generate.generate(tmp_path / "generated", project=tmp_path)


ODD = [
    "08",
    "1e3",
    "0o17",
    "0x1F",
    "yes",
    "No",
    "on",
    "~",
    "<<",
    "=",
    "1:30",
    "2026-01-01",
    ".inf",
    "1_000",
    "",
    " x",
]


def test_yaml_means_one_thing(present):
    """Names and values that YAML 1.1 and 1.2 read differently are strings to both."""
    upstream = base()
    batch = upstream["components"]["schemas"]["Batch"]["properties"]
    batch["status"]["enum"] += ODD
    text = dump(convert(encoded(upstream), present, Promises()))
    for read in (lambda: decode(text.encode()), lambda: yaml.safe_load(text)):
        values = read()["components"]["schemas"]["BatchStatus"]["enum"]
        assert set(ODD) <= set(values)


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (("  /batches:\n", "  /batches:\n    summary: x\n"), "paths, /batches, summary: only methods"),
        (
            ("      properties:\n", "      properties:\n        priority: integer\n"),
            "priority: it is str, not a schema",
        ),
        (
            ("      parameters:\n", "      parameters:\n      - $ref: '#/x'\n"),
            "it is not a parameter with a name",
        ),
        (("paths:\n", "paths: 3\nothers:\n"), "paths is not a mapping"),
        (("      required:\n", "      required: id\n      others:\n"), "its required is not a list"),
    ],
)
def test_slips_in_the_present_file_are_refused_with_their_place(slip, said, present, tmp_path, capsys):
    target = tmp_path / "openapi.yaml"
    text = dump(present).replace(*slip, 1)
    target.write_text(text)
    (tmp_path / "upstream.json").write_bytes(encoded(base()))
    code = spec.main([str(tmp_path / "upstream.json"), "--output", str(target)])
    assert code == spec.REFUSED
    assert said in capsys.readouterr().err
    assert target.read_text() == text


def test_a_crash_is_refused_in_one_sentence(tmp_path, capsys, monkeypatch):
    def crash(*_):
        raise KeyError("slip\nof ours")

    monkeypatch.setattr(spec, "convert", crash)
    (tmp_path / "upstream.json").write_bytes(encoded(base()))
    assert (
        spec.main([str(tmp_path / "upstream.json"), "--output", str(tmp_path / "out.yaml")]) == spec.REFUSED
    )
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "a fault of ours (KeyError" in said
    assert not (tmp_path / "out.yaml").exists()


def test_a_terminal_that_shows_only_ascii_is_no_crash(tmp_path):
    upstream = base()
    (tmp_path / "openapi.yaml").write_text(dump(convert(encoded(upstream), {}, Promises())))
    upstream["info"]["version"] = "8.0.0"
    (tmp_path / "upstream.json").write_bytes(encoded(upstream))
    command = [sys.executable, "-m", "tools.spec", "upstream.json", "--output", "openapi.yaml"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT), "PYTHONIOENCODING": "ascii", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == spec.CHANGED, done.stderr
    assert "7.0.0 \\u2192 8.0.0" in done.stdout


def test_a_machine_can_read_the_report(tmp_path, capsys):
    upstream = base()
    target = tmp_path / "openapi.yaml"
    target.write_text(dump(convert(encoded(upstream), {}, Promises())))
    changed = patched(upstream, CASES["a way to delete a batch"]["patch"])
    changed["info"]["version"] = "8.0.0"
    (tmp_path / "upstream.json").write_bytes(encoded(changed))
    assert spec.main([str(tmp_path / "upstream.json"), "--output", str(target), "--json"]) == spec.CHANGED
    report = json.loads(capsys.readouterr().out)
    assert {each["kind"] for each in report} == {"version", "operation"}


def test_pending_decisions_are_said_every_time(present, promised):
    """What is kept until somebody decides is not forgotten after the first report."""
    gone = encoded(patched(base(), CASES["completed is gone"]["patch"]))
    once = convert(gone, present, promised)
    again = convert(gone, once, promised)
    assert dump(again) == dump(once)
    assert compare(once, again, promised) == []
    assert [str(each) for each in pending(again, promised)] == [
        "! value   BatchStatus completed  is kept, though upstream no longer has it"
    ]
    back = convert(encoded(base()), once, promised)
    assert pending(back, promised) == []
    assert [str(each) for each in compare(once, back, promised)] == ["+ value   Batch.status  completed"]


@pytest.mark.parametrize(
    ("field", "schema", "said"),
    [
        (
            "request_counts",
            {"type": "array", "items": {"type": "integer"}},
            "BatchRequestCounts → list of integer",
        ),
        ("output_file_id", {"type": "array", "items": {"type": "string"}}, "string → list of string"),
        ("errors", {"type": "string"}, "BatchErrors → string"),
    ],
)
def test_what_becomes_a_list_or_ceases_to_be_an_object_is_said(field, schema, said, present, promised):
    upstream = base()
    upstream["components"]["schemas"]["Batch"]["properties"][field] = schema
    report = compare(present, convert(encoded(upstream), present, promised), promised)
    (change,) = [each for each in report if each.place == f"Batch.{field}"]
    assert (change.sign, change.kind, change.detail) == ("~", "type", said)


def test_moments_that_are_text_are_said_each_time(present, promised, tmp_path, capsys):
    upstream = base()
    upstream["components"]["schemas"]["Batch"]["properties"]["created_at"] = {
        "type": "string",
        "format": "date-time",
    }
    data = encoded(upstream)
    target, source = tmp_path / "openapi.yaml", tmp_path / "upstream.json"
    target.write_text(dump(present))
    source.write_bytes(data)
    places = {f"{name}.created_at" for name in ("createBatch", "retrieveBatch", "cancelBatch")}
    for _ in range(2):
        spec.main([str(source), "--output", str(target), "--json"])
        told = json.loads(capsys.readouterr().out)
        assert {each["place"] for each in told if each["kind"] == "type"} == places
    assert "is text in the document, and read as an integer" in str(uncarried(upstream)[0])
    assert uncarried(base()) == []


def test_metadata_turned_into_a_list_is_said():
    upstream = base()
    upstream["components"]["schemas"]["Metadata"] = {"type": "array", "items": {"type": "string"}}
    assert {str(each) for each in uncarried(upstream)} == {
        f"! type    {name}.metadata  is array in the document, and read as an object"
        for name in ("createBatch", "retrieveBatch", "cancelBatch")
    }


def with_default(value):
    upstream = document()
    (limit,) = [
        each for each in upstream["paths"]["/batches"]["get"]["parameters"] if each["name"] == "limit"
    ]
    limit["schema"] = {"type": "integer", "default": value}
    return upstream


def told(upstream, folder, capsys, *words):
    (folder / "theirs.json").write_bytes(encoded(upstream))
    code = spec.main([str(folder / "theirs.json"), "--output", str(folder / "openapi.yaml"), *words])
    return code, capsys.readouterr().out


def test_defaults_and_servers_that_change_are_said_once(tmp_path, capsys):
    upstream = with_default(20)
    assert told(upstream, tmp_path, capsys)[0] == spec.CHANGED
    upstream = with_default(50)
    upstream["servers"] = [{"url": "https://elsewhere.example/v2"}]
    code, said = told(upstream, tmp_path, capsys, "--json")
    assert code == spec.CHANGED
    found = {each["place"]: each for each in json.loads(said)}
    assert found["listBatches.limit"]["detail"] == "20 \u2192 50"
    assert found["servers"]["detail"].endswith("https://elsewhere.example/v2")
    code, said = told(upstream, tmp_path, capsys)
    assert (code, "default" in said) == (spec.UNCHANGED, False)
    del upstream["servers"]
    code, said = told(upstream, tmp_path, capsys)
    assert "~ servers servers  https://elsewhere.example/v2 \u2192 none" in said
