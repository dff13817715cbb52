"""The prompt of a decide: one small function per section, one joiner.

Entry rule: text in, text out, from values only; what is shown here was gathered elsewhere."""
