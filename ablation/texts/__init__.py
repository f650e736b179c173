"""How good generated sentences are."""
