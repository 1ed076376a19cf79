-- A role for the workers: inserts, and reads the ledger back after a crash; no more.
-- Run it once by an administrator, with the name of the database for {database}, and give it to the workers' user.
-- `tokentide init` needs more (CREATE TABLE, VIEW and FUNCTION, ALTER TTL): run it as another user.
CREATE ROLE IF NOT EXISTS tokentide_worker SETTINGS
    async_insert = 0,
    max_partitions_per_insert_block = 0;

GRANT SELECT, INSERT ON {database}.* TO tokentide_worker;

GRANT SELECT ON system.settings TO tokentide_worker;

-- `tokentide doctor` tells how much room is left.
GRANT SELECT ON system.disks TO tokentide_worker;
