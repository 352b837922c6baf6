"""The gateway will live here: events, store and schema; HTTP and websockets in `io`."""
