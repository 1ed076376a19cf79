-- Question: which partials count?
-- Grain: one row per window, series, source, source_partition, segment and first_offset; all columns of `llm_windows`.
-- Units: as `windows`.
-- Time column: window_start.
-- Cost: as `windows`, for which it is the source; the list of spans is read and held in memory, 40 bytes each.
-- A partial counts if its fold is the one that the ledger names for its span. `SELECT *` is meant: views are created
-- again after every migration.
CREATE OR REPLACE VIEW {database}.windows_in_force
AS SELECT *
FROM {database}.llm_windows FINAL
WHERE (source, source_partition, segment, first_offset, fold) IN (
    SELECT source, source_partition, segment, first_offset, fold FROM {database}.llm_ledger FINAL
)
COMMENT 'Partials in force, before merging over segments and partitions; read the view `windows`.';
