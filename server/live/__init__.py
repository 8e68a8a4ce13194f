"""Live connections: transports, clocks and limits, and which protocol is spoken at which path."""
