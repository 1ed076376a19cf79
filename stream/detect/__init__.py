"""Detection on the windows: from partials to incidents. Pure: no Kafka, no ClickHouse, no clock.

`rows` reads records of the windows topic, `identities` keeps the highest version of each partial and the fold in
force, `history` holds what a rule needs of a series, `rules` judges a span, `incident` opens and resolves,
`timeline` runs a rule over a series, `detector` does so for a partition of the windows topic, `announce`
decides which states are new to the world. docs/detection.md says what is guaranteed.
"""
