"""The gateway: what nodes publish is stored, queried over REST and streamed. It watches; it commands nothing."""
