"""The micro-batch transport under Faust: one Faust event for each fetched partition batch.

Faust owns membership, assignment, rebalancing, flow control and the life of the agents; positions, commits and
state are ours (docs/decisions/0002). A plain Faust agent does a few thousand messages a second, all of it
cost per message; this one hands over what the fetcher has for a partition as one message.
"""
