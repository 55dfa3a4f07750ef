-- Replace lines that ftfy could repair (table mojibake).
SELECT d, n, line AS before, repaired AS line, greatest(length(line) - length(repaired), 1) AS characters
FROM suspects JOIN mojibake USING (line)
