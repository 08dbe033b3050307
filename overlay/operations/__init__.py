"""The API's verbs on batches and files, as flows.

In: the settings of a client and what the caller asks for. Out: a `Batch`, a `File`, a page of either. What costs
money is here: `create` sends `POST /batches` once, `adopting` finds the batch that an unanswered one left behind.
"""
