"""What goes in: requests, as values and as lines of a file, and the rules that they must follow.

In: `Request`s, or a JSONL file. Out: lines that the service will accept, or every problem with its line. Nothing
here talks to a service.
"""
