"""Deepgram's speech-to-text API at /v1/listen: a websocket for live audio, a POST for recordings."""
