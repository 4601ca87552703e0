"""The API server over HTTP, as both services use it: raw JSON, lists in pages, and a reflector that diffs.

Generated models cost more than half a millisecond a pod and fail on fields they do not know, so none is used; the
official client still finds the server, its certificates and the token.
"""
