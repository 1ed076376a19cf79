-- What has been done to this database: one row per migration, view and function, with the SHA-256 of its file.
-- A migration's row never changes; a view or function gets a newer row whenever it is replaced.
-- ReplacingMergeTree, because two runners that start at once may both record the same step.
CREATE TABLE IF NOT EXISTS {database}.schema_migrations
(
    kind LowCardinality(String) COMMENT '`migration`, `view` or `function`.',
    name String COMMENT 'Name of the file, without its ending.',
    sha256 String COMMENT 'Of the file and, for views and functions, of all that it rests on; hex.',
    release String COMMENT 'Release of Tokentide that did it.',
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'When.'
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY (kind, name)
COMMENT 'What has been done to this database, by `tokentide init`.';
