"""A release, up to where it would be published: built, its metadata checked, and tried where nothing else is.

    python -m tools.release [--tag v0.2.0] [--python PATH …] [--extra NAME …]

Nothing but the package index is asked for anything. Publishing is the workflow's, `.github/workflows/release.yml`.
"""
