"""The embedded miniature: its messages, its vocabulary and its language model, each made by a seeded script here."""
