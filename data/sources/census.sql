-- The fate of each entry, from what ingest wrote: by the id of its work, by its path in quarantine, or, for a file of records, by the part
-- of its records' paths before a number sign, or among the parts that documents are made of. What is in an archive that is in quarantine is there with it.
WITH aside AS (SELECT DISTINCT source, path FROM ingested_quarantine),
steps AS (SELECT source, path, string_split(path, '/') AS parts FROM entry WHERE contains(path, '/')),
outer_paths AS (
    SELECT source, path, array_to_string(parts[:size], '/') AS outer_path
    FROM (SELECT source, path, parts, unnest(range(1, len(parts))) AS size FROM steps)),
beside AS (
    SELECT DISTINCT source, outer_paths.path FROM outer_paths JOIN aside USING (source) WHERE aside.path = outer_path),
recorded AS (
    SELECT source, path FROM ingested_quarantine
    UNION ALL
    SELECT source, json_extract_string(metadata, '$.path') FROM ingested_documents),
split AS (SELECT source, string_split(path, '#') AS parts FROM recorded WHERE contains(path, '#')),
holder AS (
    SELECT DISTINCT source, array_to_string(parts[:size], '#') AS path
    FROM (SELECT source, parts, unnest(range(1, len(parts))) AS size FROM split))
SELECT
    entry.source, entry.path, kind,
    CASE
        WHEN state <> 'asked for' THEN state
        WHEN aside.path IS NOT NULL THEN 'set aside'
        WHEN id IN (SELECT id FROM ingested_ledger) OR holder.path IS NOT NULL OR part.path IS NOT NULL THEN 'read'
        WHEN beside.path IS NOT NULL THEN 'set aside'
        ELSE 'lost'
    END AS fate
FROM entry
LEFT JOIN aside ON aside.source = entry.source AND aside.path = entry.path
LEFT JOIN beside ON beside.source = entry.source AND beside.path = entry.path
LEFT JOIN ingested_part AS part ON part.source = entry.source AND part.path = entry.path
LEFT JOIN holder ON holder.source = entry.source AND holder.path = entry.path
ORDER BY entry.source, entry.path
