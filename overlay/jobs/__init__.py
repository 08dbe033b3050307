"""Many requests as one durable job: any number, each answered once, through every crash.

In: requests, an id, options. Out: a `Job`, its events, and results in the requests' order. A job is a folder under
the home (`home`): requests in shards (`spool`), a ledger of what was promised and what came of it (`ledger`,
`records`), a lock, and results.

`scheduler` works in rounds: `starting` gets a shard its batch, `unanswered` finds out what became of a create
without an answer, `polling` watches the batches, `ending` fetches the answers, and `merging` merges them and
decides which requests are sent again. `verbs` is what callers do with a job, `views` what they see of it,
`recovery` repairs what a lost disk left. `driving` does the same for shards that workers elsewhere upload and join.
"""
