"""Answers that repeat what was asked, in the shape of each endpoint, and never pass for a model's.

Every text begins with "echo: ", every `system_fingerprint` is `fp_echo`. Where a request wants data in the form of
a JSON Schema, as `response_format`, `text.format` and forced tools do, the data fits the schema, and each string in
it begins with "echo: " as far as the schema lets it. The same request has the same answer, but for ids and times.

    echo        one line of an input file to its answer, by endpoint
    chat, responses, completions, embeddings, moderations, images, videos
                an endpoint each: the body of a request to that of its answer
    questions   what a request asks, as text and as a number of tokens
    tokens      a text as tokens: cut at a limit, with log probabilities
    wanted      the data or the call of a tool that a request insists on
    filling/    data that fits a JSON Schema
    pictures    PNGs of one colour
"""
