-- A role for people and dashboards: reads this database, changes nothing, and cannot tire the server out.
-- Run it once by an administrator, with the name of the database for {database}, and give the role to users:
--   GRANT tokentide_analyst TO anna; ALTER USER anna DEFAULT ROLE tokentide_analyst;
-- `tokentide init` does not run it: it needs the right to manage access.
--
-- No right here opens files, other servers or the network: the table functions file, url, remote, s3, mysql and the like
-- need rights (FILE, URL, REMOTE, S3 …) of their own, which a role has only if they are granted.
-- readonly = 1 also forbids to change settings, so the limits below hold. Grafana's plugin and clickhouse-connect send
-- settings with their queries: give them the profile with readonly = 2, where the limits are constraints (CONST).
--
-- Threads: a long SELECT with a thread for each core makes the workers' inserts wait many times as long. Two threads suit a
-- server of eight cores: give a larger one a quarter of its cores, so that a few people together leave the rest to inserts and merges.
-- Where the server has CAP_SYS_NICE (its packages set it, a container needs --cap-add=SYS_NICE), `os_thread_priority = 10 CONST` helps
-- as much again. Without it leave that out: the threads would stay low, for inserts too. A profile that exists is not changed by
-- running this again: ALTER SETTINGS PROFILE does it.
CREATE SETTINGS PROFILE IF NOT EXISTS tokentide_analyst_limits SETTINGS
    readonly = 2 CONST,
    allow_ddl = 0 CONST,
    max_execution_time = 60 MIN 1 MAX 600,
    max_memory_usage = 4000000000 MAX 8000000000,
    max_bytes_before_external_group_by = 2000000000,
    max_bytes_before_external_sort = 2000000000,
    max_rows_to_read = 5000000000 MAX 20000000000,
    max_result_rows = 1000000 MAX 10000000,
    result_overflow_mode = 'throw',
    max_concurrent_queries_for_user = 8 CONST,
    max_threads = 2 MAX 4;

CREATE ROLE IF NOT EXISTS tokentide_analyst SETTINGS PROFILE 'tokentide_analyst_limits';

GRANT SELECT ON {database}.* TO tokentide_analyst;

GRANT SELECT ON system.databases TO tokentide_analyst;

GRANT SELECT ON system.tables TO tokentide_analyst;

GRANT SELECT ON system.columns TO tokentide_analyst;

GRANT SELECT ON system.functions TO tokentide_analyst;

GRANT SELECT ON system.settings TO tokentide_analyst;

-- `tokentide doctor` tells how much room is left.
GRANT SELECT ON system.disks TO tokentide_analyst;
