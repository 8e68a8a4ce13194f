"""Telephony: calls whose audio a telephone system sends by a websocket."""
