"""The environment variables, read here and nowhere else.

OPENAI_API_KEY               the token
OPENAI_BASE_URL              where the service is
OVERLAY_SERVICE              which service it is, by the name of its profile
TOGETHER_API_KEY, …          the token of another service: `overlay services` names the variable of each
OPENAI_ORG_ID                sent as OpenAI-Organization
OPENAI_PROJECT_ID            sent as OpenAI-Project
OVERLAY_HOME                 the folder of the jobs
OVERLAY_PROGRESS             0 shows no progress of jobs
OVERLAY_TELEMETRY            1 tells OpenTelemetry of calls and jobs
OVERLAY_DEBUG                tracebacks and debug logs from the command
OPENAI_WEBHOOK_SECRET        what signs the service's webhooks; several, while one takes another's place
OVERLAY_WEBHOOK_SECRET       what signs the end of a job, where it is posted
OVERLAY_UPSTREAM_API_KEY     what `overlay serve --upstream` sends to the server behind it
XDG_STATE_HOME               where programs keep their state, jobs included

The proxies and certificates of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE,
SSL_CERT_DIR) are read by httpx; here only to say which of them is wrong.
"""

from __future__ import annotations

import os


def variable(name: str) -> str | None:
    """An environment variable; None if it is not set."""
    return os.environ.get(name)
