"""Templates: what each row becomes, and what is refused before any row is read."""

import base64
import pickle
from dataclasses import dataclass

import pytest

from overlay import Chat, ConfigurationError, Embed, InvalidInputError, Response
from overlay.requests.rows import template_of


@dataclass
class Review:
    friendly: bool


def body(template, **row):
    return dict(template.request("r-1", row).body)


def test_a_prompt_becomes_a_chat():
    template = Chat(model="m", prompt="Friendly? {text} {{}}", system="In {lang}.", temperature=0)
    request = template.request("r-1", {"text": "so\nso 🙂", "lang": "de", "more": 1})
    assert (request.custom_id, request.url) == ("r-1", "/v1/chat/completions")
    assert request.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "In de."},
            {"role": "user", "content": "Friendly? so\nso 🙂 {}"},
        ],
        "temperature": 0,
    }
    assert template.columns == {"text", "lang"}
    assert repr(Chat("m", "{text}", answer=Review)).startswith("Chat(model='m', answer=")


def test_a_prompt_becomes_a_response():
    template = Response("m", "Friendly? {text}", system="Short.", answer=Review, text={"verbosity": "low"})
    asked = template.request("r-1", {"text": "x"})
    assert asked.url == "/v1/responses"
    assert (asked.body["input"], asked.body["instructions"]) == ("Friendly? x", "Short.")
    assert asked.body["text"]["verbosity"] == "low"
    assert asked.body["text"]["format"] == {
        "type": "json_schema",
        "name": "Review",
        "strict": True,
        "schema": template.schema,
    }
    assert template.schema["required"] == ["friendly"]


def test_a_column_becomes_a_vector():
    template = Embed("m", "text", dimensions=3, user="u")
    assert body(template, text="x") == {"model": "m", "input": "x", "dimensions": 3, "user": "u"}
    assert (template.columns, template.dimensions) == ({"text"}, 3)
    assert body(Embed("m", input="{a}: {b}"), a="x", b=1)["input"] == "x: 1"
    assert body(Embed("m", input=lambda row: row["a"] * 2), a="x")["input"] == "xx"
    assert Embed("m", input=lambda row: row["a"]).columns is None


def test_messages_are_prompts_too():
    template = Chat("m", messages=[{"role": "user", "content": [{"type": "text", "text": "{a} and {b}"}]}])
    assert body(template, a=1, b=2)["messages"][0]["content"][0]["text"] == "1 and 2"
    assert template.columns == {"a", "b"}


def test_a_function_may_write_the_prompt_the_messages_or_the_body():
    assert body(Chat("m", lambda row: row["a"]), a="x")["messages"] == [{"role": "user", "content": "x"}]
    messages = [{"role": "user", "content": "x"}]
    assert body(Response("m", lambda _: messages))["input"] == messages
    template = template_of(lambda row: {"model": "m", "input": row["a"]}, endpoint="/v1/moderations")
    assert template.request("r-1", {"a": "x"}).url == "/v1/moderations"
    assert (template.columns, template.model, template.answer) == (None, None, None)
    assert body(template, a="x") == {"model": "m", "input": "x"}


def test_images_are_sent_as_they_are_or_as_data(tmp_path):
    png = b"\x89PNG\r\n\x1a\n picture"
    (tmp_path / "a.png").write_bytes(png)
    data = "data:image/png;base64," + base64.b64encode(png).decode()
    chat = Chat("m", "What is it?", images=["photo", "other"])
    content = body(chat, photo=str(tmp_path / "a.png"), other="https://example.com/b.jpg")["messages"][0][
        "content"
    ]
    assert [part.get("image_url") for part in content] == [
        None,
        {"url": data},
        {"url": "https://example.com/b.jpg"},
    ]
    response = Response("m", "What is it?", images="photo")
    assert body(response, photo=png)["input"][0]["content"][1] == {"type": "input_image", "image_url": data}
    assert body(response, photo=None)["input"] == "What is it?"


def test_templates_are_values():
    template = Chat("m", "{text}", answer=Review, temperature=0)
    assert template == Chat("m", "{text}", answer=Review, temperature=0)
    assert template != Chat("m", "{text}", answer=Review)
    assert pickle.loads(pickle.dumps(Embed("m", "text"))) == Embed("m", "text")
    assert template_of(template) is template


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Chat("m", "a {"), 'stray { after "a ", at character 3'),
        (lambda: Chat("m", "a } b"), "stray }"),
        (lambda: Chat("m", "a {} b"), "empty field"),
        (lambda: Chat("m", "x", system="{"), "stray {"),
        (lambda: Chat("m"), "one of the two"),
        (lambda: Chat("m", "x", messages=[]), "one of the two"),
        (lambda: Chat("m", messages=[], images="a"), "images= go with prompt="),
        (lambda: Chat("", "x"), "model= is the model's name"),
        (lambda: Chat("m", "x", answer=Review, response_format={}), "response_format= is given twice"),
        (lambda: Response("m", "x", answer=Review, text={"format": {}}), "leave it out of text="),
        (lambda: Embed("m"), "column= or input="),
        (lambda: template_of("x"), "a template is Chat"),
        (lambda: template_of(Embed("m", "a"), endpoint="/v1/responses"), "Embed is for /v1/embeddings"),
    ],
)  # fmt: skip
def test_what_no_row_could_mend_is_refused_at_once(make, reason):
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("template", "row", "reason"),
    [
        (Chat("m", "{text}"), {"txt": ""}, 'there is no column "text": did you mean "txt"?'),
        (Chat("m", "{text}"), {"a": 1, "b": 2}, 'there is no column "text"; the columns are "a", "b"'),
        (Chat("m", '{"a": 1}'), {"a": 1}, "write {{ and }} for braces"),
        (Chat("m", "{a.b}"), {"a": 1}, 'no column "a.b"'),
        (Chat("m", "{a!r}"), {"a": 1}, 'no column "a!r"'),
        (Chat("m", "{a:>10}"), {"a": 1}, 'no column "a:>10"'),
        (Chat("m", "{0}"), {"a": 1}, 'no column "0"'),
        (Chat("m", "{a}"), {"a": b"x"}, 'column "a" holds a bytes, which is no text'),
        (Chat("m", "{a}"), {"a": float("nan")}, 'column "a" holds nan, which is no text'),
        (Chat("m", "{a}"), {"a": object()}, "holds a object"),
        (Chat("m", "{a}"), {"a": [b"x"]}, "holds a bytes"),
        (Chat("m", "x", images="a"), {"a": 3}, "an image is a path, a URL or bytes, not a int"),
        (Chat("m", "x", images="a"), {"a": __file__}, "is no PNG, JPEG, WebP or GIF"),
        (Chat("m", "x", images="a"), {"a": "/dev/zero"}, "is no file"),
        (Chat("m", "x", images="a"), {"a": "/no/such.png"}, "cannot be read: No such file"),
        (Chat("m", "x", images="a"), {"a": b"\xff\xd8\xff" + bytes(30_000_000)}, "30.0 MB"),
        (Embed("m", "a"), {"a": ""}, 'column "a" is empty'),
        (Embed("m", "a"), {"a": None}, 'column "a" is empty'),
        (Embed("m", input=lambda _: 3), {}, "the text to embed is no text"),
        (template_of(lambda _: "x"), {}, "the function returned a str"),
    ],
)  # fmt: skip
def test_what_a_row_lacks_is_said_with_the_row(template, row, reason):
    with pytest.raises(InvalidInputError) as caught:
        template.request("r-17", row)
    assert reason in str(caught.value)
    assert 'row "r-17": ' in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("", ""), (None, ""), (3, "3"), (2.5, "2.5"), (True, "True"),
        ({"a": [1, None, "ü"]}, '{"a": [1, null, "ü"]}'),
        ("{b}", "{b}"), (["x", 1.5], '["x", 1.5]'),
    ],
)  # fmt: skip
def test_cells_as_text(cell, text):
    assert body(Chat("m", "{Q1: why?}"), **{"Q1: why?": cell})["messages"][0]["content"] == text


def test_columns_are_checked_before_any_row():
    template = Chat("m", "{text} {user.name}", images="photo")
    template.check(["photo", "text", "user.name", "more"])
    with pytest.raises(ConfigurationError, match='no column "text": did you mean "Text"'):
        template.check(["photo", "Text", "user.name"])


def test_an_error_of_the_callers_function_says_where_it_happened():
    with pytest.raises(ZeroDivisionError) as caught:
        Chat("m", lambda _: 1 / 0).request("r-17", {})
    assert caught.value.__notes__ == ['This happened in the template, for row "r-17".']
