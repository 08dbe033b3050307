"""Twenty questions, one of which the service refuses, and how a right answer to each is recognized."""

import json

from overlay.server import echo

KEY = "sk-compat"
MODEL = "gpt-4o-mini"
AZURE_VERSION = "2025-04-01-preview"
# A line separator and its like: clients that cut results with `str.splitlines` need them escaped.
QUESTIONS = [
    *(f"What is {number} times {number}?" for number in range(17)),
    "Où est la gare?\u2028And then? \u0085",
    'Quotes: "a" and \\ and\nlines',
    "Please refuse this one",
]
REFUSED = QUESTIONS[-1]
ANSWERED = QUESTIONS[:-1]
REFUSAL = "This was asked to be refused."


def answer(request):
    """The echo's answer; of the one question, the answer 400."""
    if REFUSED in json.dumps(request["body"]):
        return 400, {
            "error": {"message": REFUSAL, "type": "invalid_request_error", "param": None, "code": None}
        }
    return echo(request)


def chat_lines(questions=QUESTIONS, **options):
    """The lines of an input file, `q0` to `q19`."""
    return [
        {
            "custom_id": f"q{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": MODEL, "messages": [{"role": "user", "content": question}], **options},
        }
        for number, question in enumerate(questions)
    ]


def jsonl(lines):
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def texts_of(content):
    """The text of each line of a result file, by custom_id."""
    lines = [json.loads(line) for line in content.split(b"\n") if line]
    return {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in lines}


def assert_about(question, text):
    """A text within structured data echoes the question on one line."""
    assert " ".join(question.split()) in text


def assert_all_answered(texts, questions=ANSWERED):
    """Each text, in the order of the questions, is the echo of its own."""
    assert texts == [f"echo: {question}" for question in questions]
