"""Conformance vectors: written from the references, checked against every implementation."""
