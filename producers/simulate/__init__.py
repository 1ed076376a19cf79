"""Made-up traffic that looks like the real thing, the same for the same seed.

- `catalog`      the services, models, templates and tenants of the made-up company
- `incidents`    what can go wrong on request, and how it is written
- `arrivals`     when calls come: a Poisson process with a daily rhythm
- `conversations`, `calls`, `outcomes`, `timing`   what one call is
- `malformed`    events that the contract refuses
- `generate`     the pure generator; `truth` counts beside it
- `run`          the loop that paces and sends
"""
