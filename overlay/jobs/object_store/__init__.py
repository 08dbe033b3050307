"""Ledgers in an object store, for a driver that has no disk of its own.

    <home>/id                               what tells this home from others
           jobs/<id>/lease                  who works on the job
                     log/<number>           each commit of its ledger, in order; none is ever written twice
                     snapshots/<number>     the ledger as it is after that commit
                     deleted                there while the job is being deleted

The log is the only truth: an owner's commit is the object after the last one it knows, created if there is none.
Whoever takes a job over begins with a commit, so that an earlier owner that was only paused finds its next number
taken, and stops. What it had sent by then is in the log as an intent, like a create of a process that died.
"""
