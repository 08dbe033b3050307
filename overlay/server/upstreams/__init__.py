"""Real OpenAI-compatible servers behind the service: which one gets a line, when, and what becomes of its answer.

    Address     where a server is, which model it serves, how much it is sent          (address.py)
    Link        its connections: one request out, one reply in                         (link.py)
    Verdict     what a reply means: an answer, the line's own refusal, trouble         (verdicts.py)
    Circuit     whether a server answers for a model, and whose fault a failure is     (circuit.py)
    Upstream    an address with its link, circuits, capacity and figures               (server.py)
    Turns       whose turn it is, and which server gets the line                       (turns.py)
    Dispatcher  lines of all batches to all servers, on a loop in a thread of its own  (dispatcher.py)
    Probing     asks a server in trouble until it answers                              (probing.py)
    Holding     batches that wait for a key                                            (holding.py)
    ModelLists  the models that servers say they have                                  (model_lists.py)

**Whose failure is it?** No connection, 408, 425, 429, 5xx, a redirect or a body that is not JSON may be the
server's trouble or the line's own. Per server and model:

- When different lines fail in a row, as many as are under way, and none succeeds, it is the server's. Its circuit
  opens: all lines wait, and one at a time is sent as a probe, each in turn, until one is answered. Probes go on
  whatever Retry-After says, at most 15 seconds apart. No attempt counts meanwhile. The batch's window is the only
  other end.
- A line that fails while others succeed has had an attempt. After `tries` of them (5) the failure is its own: the
  status stands in the error file. Where failing lines were seen to recover, five in a row may be chance: then as
  many are needed as chance would give one line in a billion.
- A line that is alone has nobody to be compared with. A *witness* takes the part of the others: a request that the
  server has answered before or, where it has answered none, the smallest that the line's endpoint knows. If it is
  answered and the line is not, that is an attempt. For endpoints of which nothing is known, the list of models is
  the witness, and a line must fail for ten minutes besides.
- An answer that takes longer than `timeout` is asked for once more; then that is the line's own answer: 504.
- Any other 4xx is the line's own answer at once. A 401 is never: the key is wrong, and its lines wait for another.
"""
