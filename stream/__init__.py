"""The worker: decode, enrich, fold, checkpoint and detect. The core is pure; `app` is the shell around it."""
